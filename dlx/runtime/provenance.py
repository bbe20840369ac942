"""Provenance of a run's numbers: machine, code, command and date."""

import datetime
import functools
import importlib.metadata
import os
import pathlib
import platform
import shlex
import subprocess
import sys

import jax

_CHECKOUT = pathlib.Path(__file__).parents[2]
_CODE = "dlx", "launch", "configs"  # folders of the checkout that numbers depend on


def here() -> dict[str, object]:
    """Returns the provenance of numbers that this process produces now."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        "machine": machine(),
        "cores": cores(),
        "commit": commit(),
        "dlx": version(),
        "date": now.isoformat(timespec="seconds"),
        "command": shlex.join(["python", *sys.orig_argv[1:]]),
    }


def machine() -> str:
    """The name of the accelerator, or of the processor if JAX uses the CPU."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return device.device_kind
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor() or platform.machine()


def cores() -> int:
    """The number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def version() -> str | None:
    """The version of the installed dlx; None if only its requirements are installed."""
    try:
        return importlib.metadata.version("dlx")
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def commit() -> str | None:
    """The commit of the checkout that dlx runs from; None if it is not in a checkout.

    '+changes' follows if files of the code differ from that commit.
    """
    head = git("rev-parse", "HEAD")
    if head is None:
        return None
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *_CODE)
    return f"{head}+changes" if changed else head


def commits_since(name: str) -> int | None:
    """The number of commits since a commit that change the code; None if unknown."""
    count = git("rev-list", "--count", f"{name}..HEAD", "--", *_CODE)
    return None if count is None else int(count)


def git(*arguments: str) -> str | None:
    """The output of a git command in dlx's checkout; None if it fails."""
    if not (_CHECKOUT / ".git").exists():  # installed, perhaps inside another checkout
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(_CHECKOUT), *arguments],
            capture_output=True,
            text=True,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done.stdout.strip()
