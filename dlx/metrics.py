"""Where numbers go: JSON lines, TensorBoard, and the screen."""

from collections.abc import Sequence
import json
import os
import pathlib
import sys
import time
from typing import Any

from tensorboardX import SummaryWriter
import tqdm

PLAIN_SECONDS = 10.0  # the longest silence where there is no terminal


class Writers:
    """Writes each logging step's numbers everywhere; use in a `with`."""

    def __init__(
        self,
        workdir: pathlib.Path,
        name: str,
        shown: Sequence[str],
        step: int,
        num_steps: int,
    ):
        """Begins, or goes on, at `step`: takes back whatever was written of later ones.

        Args:
          workdir: The run's folder.
          name: The run's name on the screen.
          shown: Names of the numbers to show beside the progress; the first is the
            evaluation's.
          step: Where training stands.
          num_steps: Where it will end.
        """
        path = workdir / "metrics.jsonl"
        kept = [line for line in read_lines(path) if line["step"] <= step]
        write_whole(path, "".join(json.dumps(line) + "\n" for line in kept))
        self._lines = path.open("a")
        self._board = SummaryWriter(
            str(workdir / "tensorboard"),
            purge_step=step + 1 if step else None,
            filename_suffix=f".from_{step}",
        )
        self._progress = _Progress(name, shown, step, num_steps)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._progress.close()
        self._board.close()
        self._lines.close()

    def write(self, step: int, numbers: dict[str, float]) -> None:
        """Writes one step's numbers; a process killed later does not lose them."""
        self._lines.write(json.dumps({"step": step} | numbers) + "\n")
        self._lines.flush()
        for name, number in numbers.items():
            self._board.add_scalar(name, number, step)
        self._progress.show(step, numbers)


class _Progress:
    """A bar on a terminal; elsewhere a line per evaluation, or after a silence."""

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
            # Where nobody watches a bar it only keeps count.
            file=open(os.devnull, "w") if self._plain else sys.stderr,  # noqa: SIM115
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


def read_lines(path: pathlib.Path) -> list[dict[str, Any]]:
    """A metrics.jsonl's objects; a last line cut short by a crash is left out."""
    if not path.exists():
        return []
    *whole, _ = path.read_text().split("\n")
    return [json.loads(line) for line in whole]


def write_whole(path: pathlib.Path, text: str) -> None:
    """Writes a file so that a crash leaves the old one or the new one, never half."""
    beside = path.with_name(path.name + ".new")
    with beside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
