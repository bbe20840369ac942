"""Programs that start runs on clusters; with real Slurm if this machine has it."""

import getpass
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

from kubeflow_trainer_api.models import JobsetV1alpha2JobSet
import pytest
import yaml

from launch.faults.campaign import free_port

SLURM = "slurmctld", "slurmd", "munged", "mungekey", "sbatch"
FOLDER = pathlib.Path("launch/cluster")
SHORT = [
    "--config=configs/pg_rocks8.py", "--config.num_envs=32", "--config.features=(16,)",
    "--config.eval_rocks=100", "--config.env.rocks_per_episode=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A cluster of one node, this one; gives what to call its programs with."""
    missing = [name for name in SLURM if not shutil.which(name)]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: apt-get install slurm-wlm munge")
    folder = tmp_path_factory.mktemp("slurm")
    folder.chmod(0o755)
    host, user = socket.gethostname(), getpass.getuser()
    (folder / "slurm.conf").write_text(f"""
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs=4 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES State=UP OverSubscribe=FORCE
""")
    environment = os.environ | {"SLURM_CONF": f"{folder}/slurm.conf"}
    key = f"{folder}/munge.key"
    subprocess.run(["mungekey", "--create", f"--keyfile={key}"], check=True)
    munge = {"key-file": key} | {
        f"{what}": f"{folder}/munge.{what.removesuffix('-file')}"
        for what in ("socket", "pid-file", "log-file", "seed-file")
    }
    daemons = [
        [
            "munged",
            "--foreground",
            "--force",
            *(f"--{k}={v}" for k, v in munge.items()),
        ],
        ["slurmctld", "-D", "-i"],
        ["slurmd", "-D", "-N", host],
    ]
    running = []
    try:
        for command in daemons:
            with (folder / f"{command[0]}.out").open("w") as out:
                daemon = subprocess.Popen(
                    command, env=environment, stdout=out, stderr=subprocess.STDOUT
                )
            running.append(daemon)
            time.sleep(1)
        if not _is_idle(environment):
            logs = [path.read_text()[-500:] for path in folder.glob("*.out")]
            pytest.skip(f"Slurm does not start here: {logs}")
        yield environment
    finally:
        for daemon in reversed(running):
            daemon.kill()
            daemon.wait()


def _is_idle(environment):
    """Whether the cluster's node comes to that."""
    for _ in range(60):
        state = subprocess.run(
            ["sinfo", "-h", "-o", "%T"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if state.stdout.strip() == "idle":
            return True
        time.sleep(0.5)
    return False


def _wait(environment, job, states=("COMPLETED", "FAILED", "CANCELLED")):
    for _ in range(240):
        said = subprocess.run(
            ["scontrol", "show", "job", job],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        for state in states:
            if f"JobState={state}" in said:
                return state, said
        time.sleep(0.5)
    raise AssertionError(said)


def _submit(environment, workdir, *options, settings=()):
    workdir.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [
            *("sbatch", "--parsable", f"--output={workdir}/slurm.out", *options),
            *(f"{FOLDER}/slurm.sh", *SHORT, *settings, f"--workdir={workdir}/run"),
        ],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


@pytest.fixture
def stub(tmp_path):
    """Slurm's commands, which print what they are called with."""
    (tmp_path / "srun").write_text(
        "#!/bin/bash\nprintf '[%s]' \"${@:4}\"; exit ${CODE:-0}\n"
    )
    (tmp_path / "scontrol").write_text("#!/bin/bash\necho scontrol $*\n")
    for name in "srun", "scontrol":
        (tmp_path / name).chmod(0o755)

    def call(*arguments, **variables):
        path = f"{tmp_path}:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "SLURM_JOB_ID": "7"} | variables
        return subprocess.run(
            ["bash", FOLDER / "slurm.sh", "--config=c.py", *arguments],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    return call


def test_a_job_without_a_workdir_is_refused(stub):
    done = stub(CODE="143")
    assert done.returncode == 2 and "--workdir is missing" in done.stderr
    assert done.stdout == ""  # neither run nor queued again


@pytest.mark.parametrize(
    "workdir",
    [
        ["--workdir=/x y"],
        ["--workdir", "/x y"],
        ["-workdir=/x y"],
        ["-workdir", "/x y"],
    ],
)
def test_each_seed_of_an_array_has_its_own_folder(workdir, stub):
    done = stub(*workdir, "--noresume", SLURM_ARRAY_TASK_ID="3")
    assert "[--workdir=/x y/seed3]" in done.stdout
    assert "[--config=c.py][--noresume][--config.seed=3]" in done.stdout
    assert "[--workdir=/x y]" in stub(*workdir).stdout
    assert "scontrol requeue 7" in stub(*workdir, CODE="143").stdout


@pytest.mark.slow
def test_slurm_runs_two_tasks_as_one(slurm, tmp_path):
    job = _submit(slurm, tmp_path, "--ntasks=2")
    state, _ = _wait(slurm, job)
    assert state == "COMPLETED", (tmp_path / "slurm.out").read_text()
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["status"], summary["processes"]) == ("done", 2)


@pytest.mark.slow
def test_a_preempted_job_is_queued_again(slurm, tmp_path):
    job = _submit(slurm, tmp_path, settings=["--config.num_steps=4000"])
    summary = tmp_path / "run" / "metrics.jsonl"
    while not summary.exists() or not summary.read_text():
        time.sleep(0.2)
    subprocess.run(["scancel", "--batch", "--signal=TERM", job], env=slurm, check=True)
    for _ in range(240):
        path = tmp_path / "run" / "summary.json"
        if path.exists() and json.loads(path.read_text())["status"] == "preempted":
            break
        time.sleep(0.1)
    _, said = _wait(slurm, job, ("PENDING", "RUNNING"))
    for _ in range(100):
        if "Restarts=1" in said:
            break
        time.sleep(0.5)
        _, said = _wait(slurm, job, ("PENDING", "RUNNING", "COMPLETED"))
    assert "Restarts=1" in said
    subprocess.run(["scancel", job], env=slurm, check=True)


MANIFESTS = pytest.mark.parametrize(
    "path", sorted(FOLDER.glob("*.yaml")), ids=lambda p: p.stem
)


@MANIFESTS
def test_manifests_are_what_job_set_knows(path):
    """By the models that Kubeflow makes of its schema; they drop what it has not."""
    manifest = yaml.safe_load(path.read_text())
    assert JobsetV1alpha2JobSet.from_dict(manifest).to_dict() == manifest
    (workers,) = manifest["spec"]["replicatedJobs"]
    workers["template"]["spec"]["parallelism"] = "many"
    with pytest.raises(ValueError, match="parallelism"):
        JobsetV1alpha2JobSet.from_dict(manifest)


@MANIFESTS
def test_manifests_ask_for_what_launch_main_has(path):
    manifest = yaml.safe_load(path.read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == (
        "jobset.x-k8s.io/v1alpha2",
        "JobSet",
    )
    (workers,) = manifest["spec"]["replicatedJobs"]
    job = workers["template"]["spec"]
    assert job["completionMode"] == "Indexed"
    assert job["parallelism"] == job["completions"]
    (container,) = job["template"]["spec"]["containers"]
    python, module, name, *arguments = container["command"]
    assert (python, module, name) == ("python", "-m", "launch.main")
    known = subprocess.run(
        [sys.executable, "-m", "launch.main", "--helpfull"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    given = dict(argument.lstrip("-").partition("=")[::2] for argument in arguments)
    for flag in given:
        assert f"--{flag}" in known or f"--[no]{flag}" in known
    assert pathlib.Path(given["config"]).exists()
    if "num_processes" in given:
        assert int(given["num_processes"]) == job["completions"]
        host = f"{manifest['metadata']['name']}-{workers['name']}-0-0"
        assert given["coordinator"].startswith(
            f"{host}.{manifest['metadata']['name']}:"
        )
