"""Everything worth knowing about a GPU in one call, the most valuable first.

    python -m launch.bench gpu --minutes=12 --folder=FOLDER
    python -m launch.bench gpu --tiny --seeds=1  # tries every part on a CPU

Each part is a program with a time limit of its own. A part that reaches it is cut, and
one that fails prints its error in a line; the next one starts in both cases. FOLDER has
results.json, which is written after each part, and for each part the rows that it has
measured so far (PART.jsonl) and its output (PART.log).
"""

from collections.abc import Callable, Iterator
import contextlib
import dataclasses
import functools
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

from absl import flags

from dlx.errors import UserError, first_line
from dlx.runtime.writers import write_whole

from .. import shipped, start
from . import gpu_parts, gpu_programs, timing
from .gpu_parts import Row


@dataclasses.dataclass(frozen=True)
class Part:
    """A part.

    Attributes:
      rows: Whether it is tiny -> its rows.
      seconds: The longest duration, if all parts have twelve minutes.
      is_on_device: Whether it uses the device itself, rather than in other programs.
    """

    rows: Callable[[bool], Iterator[Row]]
    seconds: float
    is_on_device: bool = True


# The most valuable first.
PARTS = {
    "cifar10": Part(gpu_parts.cifar10, 200),
    "mnist": Part(gpu_parts.mnist, 70),
    "agents": Part(gpu_parts.agents, 110),
    "minatar": Part(gpu_parts.minatar, 80),
    "environments": Part(gpu_parts.environments, 80),
    "style": Part(gpu_parts.styles, 100),
    "streamed": Part(gpu_parts.streamed, 40),
    "deterministic": Part(gpu_programs.deterministic, 100, is_on_device=False),
    "resume": Part(gpu_programs.resume, 100, is_on_device=False),
    "pytorch": Part(gpu_parts.peers, 150),
}
_HIDDEN = {"training_steps": Part(gpu_parts.training_steps, 0)}

_MINUTES = flags.DEFINE_float("minutes", 12, "The longest duration.", lower_bound=0.1)
_FOLDER = start.path_flag("folder", "runs/bench_gpu", "The folder of the results.")
_CHOSEN = flags.DEFINE_list("parts", list(PARTS), f"A subset of {', '.join(PARTS)}.")
_TINY = flags.DEFINE_bool("tiny", False, "Measure a few steps of small networks.")
_PART = flags.DEFINE_string("part", None, "Measure this part in this program.")
_SHORTEST = 5  # seconds in which a part could do something


def main() -> int:
    """Returns 1 if a part failed, otherwise 0."""
    _FOLDER.value.mkdir(parents=True, exist_ok=True)
    if _PART.value:
        return _measure(_PART.value)
    if unknown := set(_CHOSEN.value) - set(PARTS):
        known = ", ".join(PARTS)
        raise UserError(f"unknown part {min(unknown)!r}; choose from {known}")
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    began, results = time.monotonic(), {}
    for name in _CHOSEN.value:
        left = 60 * _MINUTES.value - (time.monotonic() - began)
        limit = min(left, PARTS[name].seconds * _MINUTES.value / 12)
        results[name] = _run(name, limit)
        write_whole(_FOLDER.value / "results.json", json.dumps(results, indent=2))
        print(f"{time.monotonic() - began:6.0f} s  {_line(name, results[name])}")
        sys.stdout.flush()
    print(f"\n{table(results)}\n{_FOLDER.value / 'results.json'}")
    return int(any(part["status"] == "failed" for part in results.values()))


def _line(name, part):
    text = f"{name}: {part['status']} after {part['seconds']:.0f} s, "
    text += f"{len(part['rows'])} rows"
    return f"{text}; {part['error']}" if part["error"] else text


def _run(name, limit) -> dict[str, Any]:
    """Runs a part in a program of its own.

    Returns:
      'status': 'done', 'cut', 'failed', 'skipped' or 'not run'; 'error': a line or
      None; 'seconds'; 'machine': a line or None; and 'rows'.
    """
    file = _FOLDER.value / f"{name}.jsonl"
    file.unlink(missing_ok=True)
    began = time.monotonic()
    if limit < _SHORTEST:
        status, error = "not run", "no time is left"
    else:
        status, error = _finish(name, limit)
    rows = {row["what"]: row for row in gpu_programs.read(file)}
    machine = rows.pop("machine", {}).get("result")
    if ended := rows.pop("end", None):
        status, error = ended["status"], ended["result"]
    return {
        "status": status,
        "error": error,
        "seconds": round(time.monotonic() - began, 1),
        "machine": machine,
        "rows": list(rows.values()),
    }


def _finish(name, limit):
    """Waits for a part's program; kills it and all that it started at the limit."""
    command = [*shipped.program("bench"), *sys.argv[1:], f"--part={name}"]
    with (_FOLDER.value / f"{name}.log").open("w", encoding="utf-8") as log:
        program = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = program.wait(limit)
        except subprocess.TimeoutExpired:
            return "cut", f"it has at most {limit:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait()
    return ("done", None) if code == 0 else ("failed", f"exit code {code}; see its log")


def _measure(name) -> int:
    """Measures a part; its rows go to a file as soon as they are known."""
    part = (PARTS | _HIDDEN)[name]
    if _TINY.value:
        gpu_parts.make_tiny()
    with (_FOLDER.value / f"{name}.jsonl").open("w", encoding="utf-8") as file:
        write = functools.partial(_write, file)
        try:
            if part.is_on_device:
                write({"what": "machine", "result": timing.machine()})
            for row in part.rows(_TINY.value):
                write(row)
                print(f"{row['what']}: {row['result']}", flush=True)
        except UserError as error:  # data or a library are missing
            write({"what": "end", "status": "skipped", "result": str(error)})
        except Exception as error:
            line = f"{type(error).__name__}: {first_line(error)}"
            write({"what": "end", "status": "failed", "result": line})
            raise
    return 0


def _write(file, row):
    file.write(json.dumps(row) + "\n")
    file.flush()


def table(results: dict[str, dict[str, Any]]) -> str:
    """All parts' rows as text, after the machine's line."""
    machines = (part["machine"] for part in results.values() if part["machine"])
    lines = [next(machines, "no machine")]
    for name, part in results.items():
        for row in part["rows"]:
            lines.append(f"{name:14}{row['what']:44}{row['result']}")
        if part["status"] != "done":
            lines.append(f"{name:14}{part['status']}: {part['error']}")
    return "\n".join(lines)
