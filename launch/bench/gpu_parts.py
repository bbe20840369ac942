"""The parts of `launch.bench gpu`: generators of rows, which others' functions measure.

A row is a dict: 'what' was measured, the 'result' as text, and numbers under further
names. A row replaces an earlier one with the same 'what', so that a part that is cut
short leaves what it has measured so far.
"""

from collections.abc import Iterator
import statistics
from typing import Any

import jax

from .. import shipped
from . import (
    bandwidth,
    classifiers,
    envs,
    gan,
    progress,
    pytorch,
    style,
    timing,
    vae,
)

Row = dict[str, Any]
_AGENTS = "pg_rocks16", "dqn_rocks16", "pqn_rocks16", "pg_rocks32"
# A few steps of small networks, for the fields that a config has.
_TINY = {
    "dataset": "digits",
    "flip": "never",
    "widths": (8, 16),
    "features": (16,),
    "batch_size": 64,
    "num_envs": 32,
    "log_steps": 2,
    "num_steps": 4,
    "eval_steps": 2,
    "warmup_steps": 1,
    "checkpoint_steps": 2,
    "eval_episodes": 4,
    "eval_rocks": 100,
}


def make_tiny() -> None:
    """Shortens the calls that the benches time."""
    bandwidth.CPU_BYTES = 2**24
    classifiers.BATCH = 8
    for module in (classifiers, gan, vae, style):
        module.STEPS = 2


def _config(name, tiny):
    config = progress.with_data(shipped.get_config(name))
    if tiny:
        config.update({name: x for name, x in _TINY.items() if name in config})
    return config


def _runs(config, every, score, goal) -> Iterator[list[progress.Progress]]:
    """Trains seed after seed; yields all runs so far."""
    runs = []
    for config.seed in range(progress.SEEDS.value):
        runs.append(progress.train(config, every, score, goal))
        yield runs


def _to_goal(what, runs, goal, unit) -> Row:
    """A row about trainings until they reach a goal."""
    seconds = [run.until(goal) for run in runs]
    final = [100 * run.points[-1][1] for run in runs if run.points]
    return {
        "what": what,
        "result": f"seconds {progress.cell(seconds)}, {len(runs)} seeds; final "
        f"{progress.with_range(statistics.mean(final), final)} {unit}",
        "seconds": seconds,
        "train_seconds": [run.seconds for run in runs],
        "compile_seconds": [run.compile_seconds for run in runs],
        "final": final,
    }


def cifar10(tiny: bool) -> Iterator[Row]:
    """airbench_cifar10 in bfloat16: seconds and the last step's accuracy."""
    config = _config("airbench_cifar10", tiny)
    if jax.default_backend() != "cpu":
        config.dtype = "bfloat16"
    for runs in _runs(config, config.num_steps, progress.accuracy, 0.94):
        what = f"airbench_cifar10, {config.dtype}, 94 %"
        yield _to_goal(what, runs, 0.94, "%")


def mnist(tiny: bool) -> Iterator[Row]:
    """cnn_mnist_fast: seconds to 99 %."""
    config = _config("cnn_mnist_fast", tiny)
    for runs in _runs(config, config.eval_steps, progress.accuracy, 0.99):
        yield _to_goal("cnn_mnist_fast, 99 %", runs, 0.99, "%")


def agents(tiny: bool) -> Iterator[Row]:
    """Seconds until agents catch the rock from every start."""
    for name in _AGENTS:
        config = _config(name, tiny)
        for runs in _runs(config, config.log_steps, progress.perfect, 1.0):
            yield _to_goal(f"{name}, perfect", runs, 1.0, "% of the starts")


def minatar(tiny: bool) -> Iterator[Row]:
    """pqn_minatar on Breakout: steps per second, and the return of its last network."""
    config = _config("pqn_minatar", tiny)
    score = lambda numbers: numbers["eval/episode_return"]  # noqa: E731
    run = progress.train(config, config.eval_steps, score, float("inf"))
    steps = run.steps * config.num_envs * config.rollout_steps
    yield {
        "what": "pqn_minatar, Breakout",
        "result": f"{steps / run.seconds:.3g} steps/s; return {run.points[-1][1]:.1f} "
        f"after {steps:.3g} steps and {run.seconds:.1f} s of training",
        "steps_per_second": steps / run.seconds,
        "returns": run.points,
    }


def environments(tiny: bool) -> Iterator[Row]:
    """Random play on rocks against the memory's bandwidth; agents' steps per second."""
    rate, size = bandwidth.measured()
    stated = bandwidth.vendor(jax.devices()[0].device_kind)
    yield {
        "what": "memory",
        "result": bandwidth.describe(rate, size).removeprefix("memory: "),
        "bytes_per_second": rate,
        "vendor_bytes_per_second": stated,
    }
    for num_envs in (64,) if tiny else (4096, 65_536, 262_144):
        seconds, steps = envs.random_play(num_envs)
        a_second = steps / statistics.median(seconds["rocks"])
        share = envs.SCREEN_BYTES * a_second / rate
        yield {
            "what": f"random play, {num_envs} environments",
            "result": f"{timing.rate(steps, seconds['rocks'])} steps/s; screens have "
            f"{share:.0%} of the memory's bandwidth",
            "steps_per_second": a_second,
            "share_of_bandwidth": share,
        }
    num_envs = 64 if tiny else 65_536
    for name in ("pg_rocks16", "dqn_rocks16", "pqn_rocks16"):
        measured = envs.agent(_config(name, tiny), num_envs)
        for what, (steps, seconds) in measured.items():
            yield {
                "what": f"{name} {what}, {num_envs} environments",
                "result": f"{timing.rate(steps, seconds)} steps/s",
                "steps_per_second": steps / statistics.median(seconds),
            }


def _compared(what, seconds, steps) -> Row:
    """A row about dlx beside PyTorch."""
    cells = [
        f"{who} {timing.milliseconds(times, steps)} ms"
        for who, times in seconds.items()
    ]
    return {
        "what": what,
        "result": "; ".join(cells) + f"; dlx / fastest peer {timing.ratio(seconds)}",
        "seconds_per_step": {
            who: [time / steps for time in times] for who, times in seconds.items()
        },
    }


def styles(tiny: bool) -> Iterator[Row]:
    """An iteration of style transfer, beside PyTorch."""
    torch = pytorch.library()
    for size in (64,) if tiny else style.SIZES:
        seconds = style.compare(size, torch)
        yield _compared(f"style, {size}x{size}, an iteration", seconds, style.STEPS)


def streamed(tiny: bool) -> Iterator[Row]:
    """Batches from the host and from the device's memory, with nothing to train."""
    del tiny
    for name in classifiers.CASES:
        for kind, rate in classifiers.batches_rates(name).items():
            yield {
                "what": f"batches of {name} {kind}",
                "result": f"{rate:.3g} images/s",
                "images_per_second": rate,
            }


def training_steps(tiny: bool) -> Iterator[Row]:
    """Training steps of dlx alone, for `deterministic`."""
    for name in classifiers.CASES:
        seconds = classifiers.compare(name, None)
        yield _compared(f"{name}, a step", seconds, classifiers.STEPS)
    steps, seconds = envs.agent(_config("pg_rocks16", tiny), 64)["training"]
    what = "pg_rocks16, a step of an environment"
    yield _compared(what, {"dlx": seconds}, steps)


def peers(tiny: bool) -> Iterator[Row]:
    """Training steps beside PyTorch's."""
    torch = pytorch.library()
    for name in classifiers.CASES:
        seconds = classifiers.compare(name, torch)
        yield _compared(f"{name}, a step", seconds, classifiers.STEPS)
    yield _compared("DCGAN, a step", gan.compare(torch), gan.STEPS)
    for batch_size in (20,) if tiny else (100, 250):
        seconds = vae.compare(batch_size, torch)
        yield _compared(f"VAE, batch {batch_size}, a step", seconds, vae.STEPS)
