"""Interrupts trainings deliberately and verifies that they recover.

    python -m launch.faults --runs=20 --seed=0

Each experiment trains undisturbed, and then repeatedly with a fault at a random moment.
The parameters and metrics of the resumed run must equal those of the undisturbed run,
bit for bit. A fault that this machine does not allow is reported as not tried: a small
disk, for example, needs permission to mount one. `--only=fuzz` tries senseless values
for every field of every config; each must be refused in one line or make a program.
"""

import collections
from collections.abc import Callable
import pathlib
import tempfile

from .. import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags

from dlx.errors import UserError

from .. import shipped
from . import fuzz
from .campaign import EXPERIMENTS, BrokenError, Campaign, UntriedError
from .injections import ONCE, REPEATED

_RUNS = flags.DEFINE_integer("runs", 20, "Runs of each random fault.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "The faults' random seed.")
_ONLY = flags.DEFINE_list("only", [], "Experiments and faults; by default all.")
_LOST_SECONDS = flags.DEFINE_integer("lost_seconds", 10, "See launch.main.")


def main() -> int:
    selected = set(_ONLY.value)
    faults = (*REPEATED, *ONCE)
    names = {e.name for e in EXPERIMENTS} | {fault.__name__ for fault in faults}
    names |= {"fuzz"}
    if unknown := selected - names:
        raise UserError(
            f"unknown name in --only: {min(unknown)}; choose from "
            f"{', '.join(sorted(names))}"
        )
    experiments = [e for e in EXPERIMENTS if e.name in selected] or EXPERIMENTS
    faults = [fault for fault in faults if fault.__name__ in selected] or faults
    broken = 0
    if not selected or "fuzz" in selected:
        broken += _fuzz()
    if selected == {"fuzz"}:
        return min(broken, 1)
    for experiment in experiments:
        with tempfile.TemporaryDirectory() as folder:
            campaign = Campaign(
                experiment, pathlib.Path(folder), _SEED.value, _LOST_SECONDS.value
            )
            for fault in faults:
                runs = _RUNS.value if fault in REPEATED else 1
                broken += inject(fault, campaign, runs, experiment.name)
    return min(broken, 1)


def _fuzz() -> int:
    """Tries senseless values for all fields of all configs.

    Returns:
      The number of values that ended in a traceback.
    """
    broken = 0
    for path in sorted(shipped.CONFIGS.glob("*.py")):
        tried, reasons = fuzz.run(path)
        held = tried - len(reasons)
        print(f"{path.stem:20} fuzz   held {held} of {tried}", flush=True)
        for reason in reasons:
            print(f"    {reason}")
        broken += len(reasons)
    return broken


def inject(
    fault: Callable[[Campaign], str], campaign: Campaign, runs: int, name: str
) -> int:
    """Injects a fault repeatedly, and prints how often the run recovered.

    Returns:
      The number of times that it did not recover.
    """
    recovered, outcomes, reasons = 0, collections.Counter(), []
    for _ in range(runs):
        try:
            outcomes[fault(campaign)] += 1
            recovered += 1
        except BrokenError as error:
            reasons.append(str(error))
        except UntriedError as error:
            print(f"{name:14} {fault.__name__:12} not tried: {error}", flush=True)
            return 0
    counts = ", ".join(f"{number} {what}" for what, number in outcomes.most_common())
    print(
        f"{name:14} {fault.__name__:12} recovered {recovered} of {runs} ({counts})",
        flush=True,
    )
    for reason in reasons:
        print(f"    {' '.join(reason.split())}")
    return len(reasons)


if __name__ == "__main__":
    start.run(main)
