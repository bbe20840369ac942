"""One training on several devices and in several processes: its losses and its rate.

    python -m launch.bench scaling

The devices are virtual, on this machine's CPU. All of them share its cores, and the
rate cannot grow: the benchmark shows the overhead of dividing the work.
"""

import contextlib
import os
import pathlib
import subprocess
import tempfile

import numpy as np

from dlx.runtime import writers

from .. import shipped
from ..faults.campaign import free_port
from . import timing

_LAYOUTS = (1, 1), (1, 2), (1, 4), (1, 8), (2, 1), (2, 2), (2, 4)
_STEPS, _LOG_STEPS, _BATCH = 1000, 20, 128
_COMPARED = 5  # calls; rounding errors grow with every update
_SETTINGS = {
    **{"dataset": "digits", "batch_size": _BATCH, "num_steps": _STEPS},
    **dict.fromkeys(("eval_steps", "checkpoint_steps"), _STEPS),
    "log_steps": _LOG_STEPS,
    "shift": 0,  # random shifts depend on the number of devices
}


def main() -> None:
    print(timing.machine())
    print(f"\nmlp_mnist on digits, {_STEPS} steps of {_BATCH} images")
    print(f"{'processes x devices':22}{'steps/s':>16}{'largest difference':>22}")
    first = None
    for processes, devices in _LAYOUTS:
        rate, losses = _train(processes, devices)
        first = losses if first is None else first
        difference = np.max(np.abs(losses - first)[:_COMPARED] / first[:_COMPARED])
        print(f"{processes} x {devices:<18}{rate:16.0f}{difference:22.1e}", flush=True)
    print(
        f"difference: relative difference of the mean loss of {_LOG_STEPS} steps from "
        f"that of 1 x 1, the largest in the first {_COMPARED * _LOG_STEPS} steps"
    )


def _train(processes, devices):
    """Steps per second after the first call, and the loss of every call."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as running:
        workdir = pathlib.Path(folder) / "run"
        settings = [f"--config.{name}={value}" for name, value in _SETTINGS.items()]
        command = [*shipped.program("main"), f"--workdir={workdir}"]
        command += [f"--config={shipped.CONFIGS}/mlp_mnist.py", *settings]
        if processes > 1:
            command += ["--distributed", f"--coordinator=localhost:{free_port()}"]
            command += [f"--num_processes={processes}"]
        flag = f"--xla_force_host_platform_device_count={devices}"
        started = [
            running.enter_context(
                subprocess.Popen(
                    command + [f"--process_id={n}"] * (processes > 1),
                    env=os.environ | {"XLA_FLAGS": flag, "JAX_PLATFORMS": "cpu"},
                    stdout=subprocess.DEVNULL,
                )
            )
            for n in range(processes)
        ]
        if any(process.wait() for process in started):
            raise RuntimeError(f"training with {processes} x {devices} failed")
        lines = writers.read_lines(workdir / "metrics.jsonl")
    seconds = lines[-1]["train_seconds"] - lines[0]["train_seconds"]
    losses = np.array([line["train/loss"] for line in lines])
    return (lines[-1]["step"] - lines[0]["step"]) / seconds, losses
