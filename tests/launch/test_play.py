"""Matches on equal rocks, and the program in a terminal of its own."""

import os
import pty
import select
import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import tasks
from dlx.envs import rocks
from dlx.runtime import loop
from launch.rocks_match import Match


def chase(observations):
    screens = observations[..., 0]
    columns = jnp.arange(screens.shape[1], dtype=jnp.float32)
    paddle = jnp.sum(screens[:, -1] * columns[None], -1)
    rock = jnp.sum(screens[:, :-1] * columns[None, None], (1, 2))
    return jax.nn.one_hot(jnp.sign(rock - paddle).astype(jnp.int32) + 1, 3)


def test_person_and_agent_have_the_same_rocks():
    match = Match(rocks.Params(size=8, rocks_per_episode=4), chase, human=True)
    for seed in range(2):
        match.begin(jax.random.key(seed))
        while not match.over:
            assert np.array_equal(*(match.screen(p)[:-1] for p in ("you", "agent")))
            match.step(rocks.RIGHT)
        assert (match.screen("you")[-1] == [0] * 7 + [2]).all()
    assert match.caught["agent"] == 8 and match.score("agent") == "agent: 4 of 4"
    assert match.caught["you"] < 8 and match.score("you").endswith("of 4")


def _in_a_terminal(*args, columns=100, keys=b""):
    """The program's output and exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        os.environ |= {"LINES": "40", "COLUMNS": str(columns)}
        os.execv(sys.executable, [sys.executable, "-m", "launch.play", *args])
    written, asked = b"", False
    ends = time.monotonic() + 40
    while time.monotonic() < ends:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            more = os.read(terminal, 4096)
        except OSError:  # Linux's way to say that the other end is closed
            more = b""
        if not more:
            break
        written += more
        if not asked and b"game 1" in written:
            os.write(terminal, keys)
            asked = True
    else:
        os.kill(pid, signal.SIGKILL)
    os.close(terminal)
    return written.decode(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    from configs import pg_rocks8

    config = pg_rocks8.get_config()
    config.num_steps = config.eval_steps = config.checkpoint_steps = 60
    folder = tmp_path_factory.mktemp("run")
    with jax.debug_key_reuse(False):
        loop.train(tasks.make(config), config, folder, name="short")
    return folder


def test_watching(workdir):
    args = f"--workdir={workdir}", "--games=2", "--speed=1000", "--seed=0"
    text, code = _in_a_terminal(*args)
    assert code == 0 and "of 20 rocks in 2 games: agent " in text


def test_leaving(workdir):
    text, code = _in_a_terminal(f"--workdir={workdir}", "--human", keys=b"q")
    assert code == 0 and "rocks in 1 games: you 0, agent 0" in text


def test_a_narrow_terminal_is_a_line(workdir):
    text, code = _in_a_terminal(f"--workdir={workdir}", "--human", columns=30)
    assert code == 2 and "the game needs 15x45" in text and "Traceback" not in text


def test_no_terminal_is_a_line(workdir):
    program = [sys.executable, "-m", "launch.play", f"--workdir={workdir}"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (
        done.returncode == 2
        and done.stderr == "play: standard input and output must be a terminal\n"
    )


def test_an_agent_of_another_game_is_measured_and_has_no_opponent(config, tmp_path):
    config.update(num_steps=2, eval_steps=2, checkpoint_steps=2)
    with config.unlocked():
        config.env = {"name": "tests.envs.probes.Probe", "pays": "always"}
    loop.train(tasks.make(config), config, tmp_path, name="probe")
    program = [sys.executable, "-m", "launch.play", f"--workdir={tmp_path}"]
    done = subprocess.run(
        [*program, "--games=3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "episode_return of 3 games: 1\n" in done.stdout
    assert "this game has no film" in done.stdout
    done = subprocess.run(
        [*program, "--human"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("play: --human: people can play rocks only")
