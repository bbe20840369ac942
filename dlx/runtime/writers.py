"""Writes numbers as JSON lines, to trackers, and to the screen."""

from collections.abc import Sequence
import json
import math
import os
import pathlib
import sys
import time
from typing import Any

from absl import logging
import tqdm

from dlx import paths
from dlx.runtime import trackers

_TOO_LARGE = 2**63  # no step, and more than plots can show
PLAIN_SECONDS = 10.0  # between progress lines when stderr is not a terminal


class Writers:
    """Writes the numbers of each logging step to all logs; use in a `with`."""

    def __init__(
        self,
        workdir: pathlib.Path,
        name: str,
        shown: Sequence[str],
        step: int,
        num_steps: int,
        config: dict[str, Any] | None = None,
        names: Sequence[str] = trackers.DEFAULT,
    ):
        """Opens the logs at `step`; removes lines of that step and later ones.

        Args:
          workdir: The run's folder.
          name: The run's name on the screen.
          shown: Names of the numbers on the progress bar; the first is an
            evaluation's.
          step: The number of steps trained so far.
          num_steps: The number of steps of the whole run.
          config: The run's config, for trackers that show it.
          names: The names of the trackers.
        """
        path = workdir / "metrics.jsonl"
        lines = read_lines(path)
        earlier = [line for line in lines if line["step"] < step]
        write_whole(path, "".join(to_json(line) + "\n" for line in earlier))
        self._lines = path.open("a", encoding="utf-8")
        self._trackers = trackers.Trackers(
            names, workdir, name, config or {}, step, lines
        )
        self._progress = _Progress(name, shown, step, num_steps)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._progress.close()
        self._trackers.close()
        self._lines.close()

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Writes and flushes the numbers of one step."""
        self._lines.write(to_json({"step": step} | numbers) + "\n")
        self._lines.flush()
        self._trackers.write(step, numbers)
        self._progress.show(step, numbers)


class _Progress:
    """A bar on a terminal; otherwise a line per evaluation, or per PLAIN_SECONDS."""

    def __init__(self, name, shown, step, num_steps):
        self._shown, self._numbers = shown, {}
        self._plain = not sys.stderr.isatty()
        self._said = time.monotonic()
        self._bar = tqdm.tqdm(
            desc=name,
            initial=step,
            total=num_steps,
            unit=" steps",
            dynamic_ncols=True,
            # Without a terminal the bar only keeps count.
            file=open(os.devnull, "w", encoding="utf-8") if self._plain else sys.stderr,  # noqa: SIM115
        )

    def show(self, step, numbers):
        new = {name: numbers[name] for name in self._shown if name in numbers}
        self._numbers |= {
            name.rpartition("/")[-1]: f"{number:.6g}" for name, number in new.items()
        }
        self._bar.set_postfix(self._numbers, refresh=False)
        self._bar.update(step - self._bar.n)
        silence = time.monotonic() - self._said
        if self._plain and (self._shown[0] in new or silence > PLAIN_SECONDS):
            self._said = time.monotonic()
            meter = self._bar.format_dict | {
                "ncols": None,
                "bar_format": "{desc}: {n_fmt}/{total_fmt}{unit}, {rate_fmt}, "
                "{remaining} left{postfix}",
            }
            print(self._bar.format_meter(**meter), flush=True)

    def close(self):
        self._bar.close()


def to_json(value: Any, indent: int | None = None) -> str:
    """Makes strict JSON: numbers that are not finite become null."""
    return json.dumps(finite(value), indent=indent, allow_nan=False)


def finite(value: Any) -> Any:
    """Copies nested dicts and lists; floats that are not finite become None."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def numbers(metrics: Any) -> dict[str, float]:
    """Reads metrics that `to_json` wrote: null becomes NaN; the rest is dropped."""
    if not isinstance(metrics, dict):
        return {}
    read = {k: math.nan if n is None else n for k, n in metrics.items()}
    return {k: n for k, n in read.items() if _is_number(n)}


def _is_number(value):
    """Whether a value is a float, or an integer that is not absurdly large."""
    return isinstance(value, float) or (
        isinstance(value, int) and abs(value) < _TOO_LARGE
    )


def read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the objects of a metrics.jsonl, null as NaN. Never raises.

    Damaged lines are skipped with a warning. A last line without a line end was cut by
    a crash and is skipped silently.
    """
    try:
        *whole, _ = paths.read_text(path, errors="replace").split("\n")
    except FileNotFoundError:
        return []
    except OSError as error:
        logging.warning("cannot read %s: %s", path, error.strerror)
        return []
    parsed = [_line(text) for text in whole]
    lines = [line for line in parsed if line]
    if bad := len(parsed) - len(lines):
        logging.warning("%s: skipped %d damaged lines of %d", path, bad, len(parsed))
    return lines


def _line(text):
    try:
        line = numbers(json.loads(text))
    except (ValueError, RecursionError):
        return None
    step = line.get("step")
    return line if type(step) is int and step >= 0 else None


def write_whole(path: pathlib.Path, text: str) -> None:
    """Replaces a file atomically: a crash leaves the old or the new one."""
    beside = path.with_name(path.name + ".new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
