"""The faults. Each is a function from a Campaign to the outcome as text.

A function raises BrokenError if the run does not recover as promised, and UntriedError
if this machine does not allow the fault.
"""

from collections.abc import Iterator
import contextlib
import fcntl
import json
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

from dlx.runtime import processes

from .campaign import (
    BrokenError,
    Campaign,
    UntriedError,
    free_port,
    require,
)
from .damage import damage


def killed(campaign: Campaign) -> str:
    """Kills a run at a random moment. Resumed, it must end like the undisturbed run."""
    workdir = campaign.new_workdir()
    run = campaign.start(workdir)
    campaign.wait_randomly()
    run.kill()
    run.communicate()
    campaign.finish(workdir)
    campaign.require_same(workdir)
    return "killed" if run.returncode == -signal.SIGKILL else "had ended"


def terminated(campaign: Campaign) -> str:
    """Sends SIGTERM at a random moment.

    The run must save its state, report 'preempted' and exit with 143. The resumed run
    must end like the undisturbed one.
    """
    workdir = campaign.new_workdir()
    run = campaign.start(workdir)
    campaign.wait_randomly()
    run.terminate()
    run.communicate()
    status = {0: "had ended", -signal.SIGTERM: "had not begun"}.get(run.returncode)
    if status is None:
        require(run.returncode == 128 + signal.SIGTERM, f"code {run.returncode}")
        summary = json.loads((workdir / "summary.json").read_text(encoding="utf-8"))
        status = summary["status"]
        require(status == "preempted", f"status {status}")
        checkpoint = workdir / "checkpoints" / str(summary["step"])
        require(checkpoint.exists(), "its last step was not saved")
    campaign.finish(workdir)
    campaign.require_same(workdir)
    return status


def damaged(campaign: Campaign) -> str:
    """Truncates, changes or deletes a file of the newest checkpoint.

    The run must resume from the previous checkpoint.
    """
    workdir = campaign.new_workdir()
    shutil.copytree(campaign.undisturbed, workdir)
    steps = sorted(int(path.name) for path in (workdir / "checkpoints").glob("[0-9]*"))
    newest = workdir / "checkpoints" / str(steps[-1])
    files = [p for p in newest.glob("state/**/*") if p.is_file()]
    file = max(files, key=lambda path: path.stat().st_size)  # has the arrays
    damage = _damage(file, campaign.random)
    output = campaign.finish(workdir)
    campaign.require_same(workdir)
    if f"checkpoint {steps[-1]} is damaged" in output:
        require(f"from checkpoint {steps[-2]}" in output, "not the previous one")
        return damage
    return f"{damage}, but whole"  # the changed byte was between the arrays


def _damage(file, random):
    """Damages a file in a random way; returns a description."""
    damage = random.choice(["cut", "changed", "gone"])
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(content[: random.randrange(len(content))])
    else:
        content[random.randrange(len(content))] ^= 255
        file.write_bytes(content)
    return damage


def lost_peer(campaign: Campaign) -> str:
    """Kills one of two processes.

    The other one must exit with code 75 in time, and both must finish if restarted.
    """
    workdir = campaign.new_workdir()
    with _pair(campaign, workdir) as pair:
        campaign.wait_for_a_checkpoint(workdir, pair)
        campaign.wait_randomly()
        victim = campaign.random.randrange(2)
        pair[victim].kill()
        began = time.monotonic()
        survivor = pair[1 - victim]
        try:
            output, _ = survivor.communicate(timeout=campaign.lost_seconds + 60)
        except subprocess.TimeoutExpired:
            raise BrokenError(f"process {1 - victim} does not end") from None
        seconds = time.monotonic() - began
        code = survivor.returncode
    if code == 0:
        return "had ended"
    require(code == processes.LOST, f"code {code}: {output[-300:]}")
    require("another process is lost" in output, f"its output is {output[-300:]}")
    require(seconds < campaign.lost_seconds + 5, f"it took {seconds:.0f} s")
    with _pair(campaign, workdir) as pair:
        for run in pair:
            output, _ = run.communicate()
            require(run.returncode == 0, f"code {run.returncode}: {output[-300:]}")
    return f"process {victim}"


@contextlib.contextmanager
def _pair(campaign, workdir, *own) -> Iterator[list[subprocess.Popen]]:
    """Starts two processes of one run, each with its own flags."""
    common = (
        "--distributed",
        f"--coordinator=localhost:{free_port()}",
        "--num_processes=2",
        f"--lost_seconds={campaign.lost_seconds}",
    )
    own = own or ([], [])
    pair = [
        campaign.start(workdir, *common, f"--process_id={n}", *own[n]) for n in range(2)
    ]
    try:
        yield pair
    finally:
        for run in pair:
            run.kill()
            run.wait()
            run.stdout.close()


def signals(campaign: Campaign) -> str:
    """Sends one of the signals that end a run, at any moment of the run.

    The run must end with that signal's code and without a traceback. The resumed run
    must end like the undisturbed one.
    """
    workdir = campaign.new_workdir()
    number = campaign.random.choice([signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    run = campaign.start(workdir)
    campaign.wait_randomly()
    run.send_signal(number)
    output, _ = run.communicate()
    require("Traceback" not in output, output.partition("Traceback")[2][:500])
    codes = 0, -number, 128 + number
    require(run.returncode in codes, f"code {run.returncode}: {output[-300:]}")
    campaign.finish(workdir)
    campaign.require_same(workdir)
    return "had ended" if run.returncode == 0 else number.name


def two_processes(campaign: Campaign) -> str:
    """Injects a fault into one of two processes.

    Both must end within half a minute, with that fault's code. The code of a lost
    process would queue the job again and again.
    """
    workdir = campaign.new_workdir()
    fault = campaign.random.choice(["locked", "other config", "diverged"])
    flags = {
        "locked": ([], []),
        "other config": (["--config.discount=0.5"], []),
        "diverged": (["--config.learning_rate=1e30"],) * 2,
    }[fault]
    workdir.mkdir()
    with (workdir / ".lock").open("w", encoding="utf-8") as file:
        if fault == "locked":
            fcntl.flock(file, fcntl.LOCK_EX)
        began = time.monotonic()
        with _pair(campaign, workdir, *flags) as pair:
            for run in pair:
                try:
                    output, _ = run.communicate(timeout=120)
                except subprocess.TimeoutExpired:
                    raise BrokenError(f"{fault}: it does not end") from None
                code = 1 if fault == "diverged" else 2
                says = f"{fault}: code {run.returncode}: {output[-300:]}"
                require(run.returncode == code, says)
    seconds = time.monotonic() - began
    require(seconds < campaign.seconds + 60, f"{fault}: it took {seconds:.0f} s")
    return fault


def damaged_run(campaign: Campaign) -> str:
    """Damages any file of a run in any way.

    Reports, evaluation and resumption must each end, without a traceback.
    """
    workdir = campaign.new_workdir()
    shutil.copytree(campaign.undisturbed, workdir)
    how = damage(workdir, campaign.random)
    report = f"--out={workdir.with_suffix('.html')}"
    codes = []
    for command in (["report", report], ["evaluate"], None):
        run = (
            campaign.program(workdir, *command) if command else campaign.start(workdir)
        )
        try:
            output, _ = run.communicate(timeout=campaign.seconds + 120)
        except subprocess.TimeoutExpired:
            run.kill()
            raise BrokenError(f"{how}: {command or 'main'} does not end") from None
        says = f"{how}: {command or 'main'}: code {run.returncode}: {output[-300:]}"
        require("Traceback" not in output and run.returncode in (0, 2), says)
        codes.append(run.returncode)
    return "reported" if any(codes) else "read"


def second_run(campaign: Campaign) -> str:
    """Starts a second run in the same workdir.

    The second run must be refused, and the first one must not be affected.
    """
    workdir = campaign.new_workdir()
    first = campaign.start(workdir)
    while not (workdir / ".lock").exists():
        time.sleep(0.05)
        require(first.poll() is None, "it ended before it began")
    time.sleep(0.5)
    second = campaign.start(workdir)
    output, _ = second.communicate()
    if first.poll() is None:
        require(second.returncode == 2, f"code {second.returncode}")
        require(str(workdir) in output, output[-300:])
    first.communicate()
    campaign.finish(workdir)
    campaign.require_same(workdir)
    return "refused"


def full_disk(campaign: Campaign) -> str:
    """Trains on a disk that is too small.

    The run must report the missing space. A copy elsewhere must resume and finish.
    """
    undisturbed = campaign.undisturbed
    size = sum(p.stat().st_size for p in undisturbed.rglob("*") if p.is_file())
    checkpoints = list((undisturbed / "checkpoints").glob("[0-9]*[0-9]"))
    of_a_checkpoint = size // max(1, len(checkpoints))
    with _small_disk(size // 2 + of_a_checkpoint + 2**20) as disk:
        run = campaign.start(disk / "run", "--config.keep_checkpoints=100")
        output, _ = run.communicate()
        if run.returncode == 0:
            return "fitted"
        require(run.returncode == 2, f"code {run.returncode}: {output[-300:]}")
        require("MiB are missing" in output, output[-300:])
        workdir = campaign.new_workdir()
        shutil.copytree(disk / "run", workdir)
    campaign.finish(workdir)
    campaign.require_same(workdir)
    return "reported"


def read_only(campaign: Campaign) -> str:
    """Trains on a read-only disk. The run must print one line."""
    with _small_disk(2**20) as disk:
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        run = campaign.start(disk / "run")
        output, _ = run.communicate()
    require(run.returncode == 2, f"code {run.returncode}: {output[-300:]}")
    one_line = "cannot write in" in output and output.count("\n") == 1
    require(one_line, output[-300:])
    return "reported"


@contextlib.contextmanager
def _small_disk(size) -> Iterator[pathlib.Path]:
    """Mounts a disk in memory of `size` bytes."""
    with tempfile.TemporaryDirectory() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
        try:
            subprocess.run(mount, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            raise UntriedError("no permission to mount a small disk") from None
        try:
            yield pathlib.Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


# At random moments or in random ways, --runs times.
REPEATED = killed, terminated, signals, damaged, damaged_run, lost_peer, two_processes
ONCE = second_run, full_disk, read_only
