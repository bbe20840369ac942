"""The programs as people start them: killed, stopped, started wrongly."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import ml_collections
import pytest

from dlx import paths
from launch import start

SMALL = [
    "--config=configs/pg_rocks8.py",
    "--config.num_envs=32",
    "--config.features=(16,)",
    "--config.num_steps=4000",
    "--config.log_steps=20",
    "--config.eval_steps=400",
    "--config.checkpoint_steps=200",
    "--config.eval_rocks=100",
    "--config.env.rocks_per_episode=3",  # films are short
]
# The last flag of a kind counts.
_FLAGS = os.environ["XLA_FLAGS"] + " --xla_force_host_platform_device_count=1"
ONE_DEVICE = {"XLA_FLAGS": _FLAGS, "JAX_PLATFORMS": "cpu"}


def _start(program, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", f"launch.{program}", *map(str, arguments)],
        env=os.environ | ONE_DEVICE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(program, *arguments):
    process = _start(program, *arguments)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def _summary(workdir):
    return json.loads((workdir / "summary.json").read_text())


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nobody disturbs."""
    workdir = tmp_path_factory.mktemp("whole")
    code, out, err = _run("main", *SMALL, f"--workdir={workdir}")
    assert code == 0, err
    assert "done at step 4000" in out
    return workdir


def _wait_for_checkpoint(workdir, process):
    began = time.monotonic()
    while not list(workdir.glob("checkpoints/[0-9]*/commit_success.txt")):
        assert process.poll() is None and time.monotonic() - began < 120
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("signal_number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGTERM, 128 + 15), (signal.SIGINT, 128 + 2)],
)
def test_killed_and_started_again_it_ends_the_same(
    whole, tmp_path, signal_number, code
):
    process = _start("main", *SMALL, f"--workdir={tmp_path}")
    _wait_for_checkpoint(tmp_path, process)
    process.send_signal(signal_number)
    process.communicate(timeout=60)
    assert process.returncode == code, "it was killed on the way"
    if signal_number != signal.SIGKILL:
        summary = _summary(tmp_path)
        assert summary["status"] == "preempted" and 0 < summary["step"] < 4000
    code, _, err = _run("main", *SMALL, f"--workdir={tmp_path}")
    assert code == 0, err
    ours, theirs = _summary(tmp_path), _summary(whole)
    for same in ("status", "step", "params_sha256", "metrics", "env_steps"):
        assert ours[same] == theirs[same]


def test_evaluate_prints_the_same_numbers(whole):
    code, out, err = _run("evaluate", f"--workdir={whole}", "--checkpoint=latest")
    assert code == 0 and err == ""
    printed = dict(line.split() for line in out.splitlines()[1:])
    metrics = _summary(whole)["metrics"]
    assert printed == {name: f"{number:.6g}" for name, number in metrics.items()}


def test_choices_take_settings_that_the_config_file_lacks(tmp_path):
    flags = [
        "--config=configs/mlp_mnist.py", "--config.dataset=digits",
        "--config.num_steps=4", "--config.log_steps=2", "--config.eval_steps=4",
        "--config.checkpoint_steps=4", "--config.warmup_steps=0",
        "--config.optimizer=lion", "--config.optimizer.b1=0.8",
        "--config.optimizer.schedule", "linear",
    ]  # fmt: skip
    code, _, err = _run("main", *flags, f"--workdir={tmp_path}")
    assert code == 0, err
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["optimizer"] == {"name": "lion", "b1": 0.8, "schedule": "linear"}
    code, out, err = _run("evaluate", f"--workdir={tmp_path}", "--split=test")
    assert code == 0 and "step 4, test split" in out and "accuracy" in out, err


CONFIG = "--config=configs/pg_rocks8.py"
MLP = "--config=configs/mlp_mnist.py"


BAD_INPUT = [
    (["--config=nowhere.py"], "No such file or directory: 'nowhere.py'"),
    (["--config={tmp}/prose.py"], "prose.py:1: not Python"),
    (["--config={tmp}/empty.py"], "no function get_config()"),
    (["--config={tmp}/broken.py"], "broken.py:2: ZeroDivisionError"),
    ([CONFIG, "--config.learning_rat=1"], "did you mean 'learning_rate'?"),
    ([CONFIG, "--config.env.sise=1"], "the config has no 'sise'"),
    ([CONFIG, "--config.learning_rate=fast"], "could not convert string to float"),
    ([CONFIG, "--config.num_steps=1.5"], "invalid literal for int()"),
    ([CONFIG, "--config.env.size=1"], "size must be at least 2, got 1"),
    ([CONFIG, "--config.num_envs=-4"], "must be an integer in 1 ... 2147483647"),
    (
        [CONFIG, "--config.task=poker"],
        "airbench, classifier, dqn, fast_style, flow, gan",
    ),
    ([CONFIG, "--speed=9"], "Unknown command line flag 'speed'"),
    ([MLP, "--config.optimizer=adma"], "config.optimizer is 'adma'; choose one"),
    ([MLP, "--config.optimizer.beta=1"], "adamw has no setting 'beta'"),
    ([CONFIG, "stray"], "unexpected argument 'stray'"),
    ([], "--config is missing"),
    ([CONFIG, "--workdir=/proc/nowhere"], "cannot write in /proc/nowhere"),
    ([CONFIG, "--workdir={tmp}/prose.py"], "cannot write in"),
    ([CONFIG, "--workdir="], "the path is empty; '.' is the current folder"),
]


@pytest.fixture(scope="module")
def refused(tmp_path_factory, trainings):
    """How each bad input ends: [(exit code, output, errors)]."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "prose.py").write_text("These are not the configs\n")
    (folder / "empty.py").write_text("x = 1\n")
    (folder / "broken.py").write_text("def get_config():\n    return 1 / 0\n")
    before = sorted(folder.iterdir())
    lists = [[word.format(tmp=folder) for word in words] for words, _ in BAD_INPUT]
    ends = trainings(lists)
    assert sorted(folder.iterdir()) == before
    return ends


@pytest.mark.parametrize("which", range(len(BAD_INPUT)))
def test_bad_input_gets_one_line(refused, which):
    code, out, err = refused[which]
    assert code == 2 and BAD_INPUT[which][1] in err
    assert out == "" and len(err.splitlines()) == 1, err


def test_devices_that_are_not_there_are_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(ONE_DEVICE, "JAX_PLATFORMS", "abacus")
    code, out, err = _run("main", *SMALL, f"--workdir={tmp_path}")
    assert (code, out) == (2, "") and "initialize backend 'abacus'" in err
    assert len(err.splitlines()) == 1, err


def test_what_is_not_finite_has_a_code_of_its_own(tmp_path):
    code, _, err = _run(
        "main", *SMALL, f"--workdir={tmp_path}", "--config.learning_rate=1e38"
    )
    assert code == 1
    assert err.startswith("main: ") and "at step" in err and err.count("\n") == 1
    assert _summary(tmp_path)["status"] == "failed"


@pytest.mark.parametrize("program", ["evaluate"])
def test_a_folder_without_a_run(program, tmp_path):
    code, _, err = _run(program, f"--workdir={tmp_path}")
    assert code == 2 and "holds no run" in err and err.count("\n") == 1


def test_a_checkpoint_cut_short_is_told_of(whole, tmp_path):
    workdir = tmp_path / "run"
    subprocess.run(["cp", "-r", whole, workdir], check=True)
    for file in (workdir / "checkpoints" / "4000" / "state" / "d").iterdir():
        file.write_bytes(file.read_bytes()[:100])
    code, _, err = _run("main", *SMALL, f"--workdir={workdir}")
    assert code == 0
    assert "checkpoint 4000 is damaged" in err and "resuming from checkpoint" in err
    assert len(err.splitlines()) <= 5
    assert _summary(workdir)["params_sha256"] == _summary(whole)["params_sha256"]


@pytest.mark.parametrize("program", ["launch.main", "launch.evaluate"])
def test_no_program_loads_a_data_set_library_by_itself(program):
    code = (
        f"import sys, {program}, dlx.rl.policy_gradient\n"
        "assert not {'tensorflow', 'tensorflow_datasets'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0


def test_the_default_workdir_is_named_after_config_and_time(tmp_path):
    root = pathlib.Path.cwd()
    short = [f"--config={root}/configs/pg_rocks8.py", *SMALL[1:]]
    process = subprocess.run(
        [
            *(sys.executable, "-m", "launch.main", *short),
            *("--config.num_steps=20", "--config.eval_steps=20"),
            "--config.checkpoint_steps=20",
        ],
        cwd=tmp_path,
        env=os.environ | ONE_DEVICE | {"PYTHONPATH": str(root)},
        check=True,
        capture_output=True,
        text=True,
    )
    (workdir,) = tmp_path.glob("runs/pg_rocks8/*")
    assert process.stdout.splitlines()[-1] == str(workdir.relative_to(tmp_path))


@pytest.mark.parametrize("seconds", [0, 0.2, 0.5, 1])
def test_a_ctrl_c_while_it_starts_is_one_line(tmp_path, seconds):
    """While it imports, too, when an exception may be swallowed."""
    process = _start("main", *SMALL, f"--workdir={tmp_path}")
    while "numpy" not in pathlib.Path(f"/proc/{process.pid}/maps").read_text():
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    if (tmp_path / "summary.json").exists():  # it had begun to train
        assert _summary(tmp_path)["status"] == "preempted"
    else:
        assert (out, err) == ("", "interrupted\n")
    assert process.returncode == 130


SHORT = [
    *SMALL, "--config.num_steps=40", "--config.log_steps=5", "--config.eval_steps=10",
    "--config.checkpoint_steps=40",
]  # fmt: skip


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_goes_away_does_not_end_a_run(tmp_path, stream):
    process = _start("main", *SHORT, f"--workdir={tmp_path}")
    getattr(process, stream).close()
    process.wait(timeout=120)
    assert process.returncode == 0
    summary = _summary(tmp_path)
    assert (summary["status"], summary["step"]) == ("done", 40)


def test_a_run_needs_no_standard_streams(tmp_path):
    """Those that are closed are not the next files that it opens."""
    command = [sys.executable, "-m", "launch.main", *SHORT, f"--workdir={tmp_path}"]
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command],
        env=os.environ | ONE_DEVICE,
        check=False,
    )
    assert done.returncode == 0 and _summary(tmp_path)["status"] == "done"
    arrays = [file for file in (tmp_path / "checkpoints").rglob("*") if file.is_file()]
    assert arrays and not any(b"XLA" in file.read_bytes() for file in arrays)


def test_a_path_is_printed_in_any_encoding(tmp_path, monkeypatch):
    monkeypatch.setitem(ONE_DEVICE, "PYTHONIOENCODING", "ascii")
    code, out, err = _run("main", *SHORT, f"--workdir={tmp_path / 'größe'}")
    assert code == 0, err
    assert out.splitlines()[-1] == rf"{tmp_path}/gr\xf6\xdfe"


def test_paths_mean_the_same_from_anywhere(tmp_path, monkeypatch):
    root, home = pathlib.Path.cwd(), tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.chdir(tmp_path)
    config = [
        f"--config={root}/configs/mlp_mnist.py", "--config.dataset=digits",
        "--config.num_steps=2", "--config.log_steps=1", "--config.eval_steps=2",
        "--config.checkpoint_steps=2", "--config.warmup_steps=1",
        "--config.data_dir=tfds", "--config.manual_dir=~/by_hand",
    ]  # fmt: skip
    code, _, err = _run("main", *config, "--workdir=~/runs/x")
    assert code == 0, err
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    stored = json.loads((home / "runs" / "x" / "config.json").read_text())
    assert stored["data_dir"] == str(tmp_path / "tfds")
    assert stored["manual_dir"] == str(home / "by_hand")
    code, out, err = _run("evaluate", "--workdir=~/runs/x")
    assert code == 0 and "accuracy" in out, err
    code, out, err = _run("main", *config, "--workdir=gs://bucket/runs")
    assert code == 2 and "not a path on this machine" in err and err.count("\n") == 1


def test_a_config_knows_which_of_its_fields_are_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = ml_collections.ConfigDict(
        {
            "style": "a.jpg,skimage:hubble_deep_field,/b.png",
            "weights": "hf:a/b/c.npz", "mask": "", "dataset": "folder:some",
            "content": "skimage:chelsea", "corpus": "x.txt", "network": "vgg16",
        }
    )  # fmt: skip
    paths.resolve(config)
    assert config.style == f"{tmp_path}/a.jpg,skimage:hubble_deep_field,/b.png"
    assert config.dataset == f"folder:{tmp_path}/some"
    assert config.corpus == f"{tmp_path}/x.txt"
    assert (config.weights, config.mask) == ("hf:a/b/c.npz", "")
    assert (config.content, config.network) == ("skimage:chelsea", "vgg16")
    config.weights = "random"
    paths.resolve(config)
    assert config.weights == "random"


def test_a_comma_in_a_files_name_does_not_split_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sun, sea.jpg").touch()
    config = ml_collections.ConfigDict({"style": "sun, sea.jpg"})
    paths.resolve(config)
    assert config.style == f"{tmp_path}/sun, sea.jpg"
    assert paths.names(config.style) == [config.style]
    assert paths.names("a.jpg,b.jpg") == ["a.jpg", "b.jpg"]


def test_runs_that_start_in_the_same_second_have_folders_of_their_own(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folders = [start._new_folder(pathlib.Path("runs", "x")) for _ in range(3)]
    assert len(set(folders)) == 3 and all(folder.is_dir() for folder in folders)


def test_compiled_programs_take_a_bounded_space(tmp_path, monkeypatch):
    """And programs kept without a time of use do not prevent others from being kept."""
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "dlx" / "xla"
    folder.mkdir(parents=True)
    (folder / "jit_old-1-cache").write_bytes(b"x" * 9)
    program = (
        "import sys; sys.argv = ['x']; from launch import start;"
        "start._CACHE_BYTES = 60_000;"
        "import jax; main = lambda: [jax.jit(lambda x: x + n)(1) for n in range(30)];"
        "start.run(lambda: main() and 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    sizes = [f.stat().st_size for f in folder.glob("*-cache")]
    assert 0 < sum(sizes) < 60_000 and len(sizes) > 5
    assert not (folder / "jit_old-1-cache").exists(), "the oldest goes first"
