"""The clock of the agents' benchmark, and its evaluation of another library."""

from absl import flags
import jax
import numpy as np
import pytest

from configs import dqn_rocks8
from dlx.envs import rocks
from dlx.errors import UserError
from launch import shipped
from launch.bench import minatar, progress, rejax, rl, sb3


def test_until_and_median():
    runs = [
        progress.Progress(points=[(1.0, 0.5), (2.0, 0.995), (3.0, 1.0)]),
        progress.Progress(points=[(1.5, 1.0)]),
        progress.Progress(points=[(9.0, 0.2)]),
    ]
    assert [run.until(0.99) for run in runs] == [2.0, 1.5, None]
    assert rl._median(runs, 1.0) == 3.0, (
        "a run that never reaches the goal counts as the slowest"
    )
    assert rl._median(runs[2:], 1.0) is None
    cell = progress.cell([run.until(0.99) for run in runs])
    assert cell == "1.75 (1.50 ... 2.00) 2/3"


def test_training_ends_at_the_goal(config):
    flags.FLAGS(["bench", "--limit=600"])
    every, evaluated = 2 * config.log_steps, []

    def score(numbers):
        evaluated.append(numbers["eval/perfect_starts"])
        return len(evaluated)

    run = progress.train(config, every, score, goal=3)
    assert [score for _, score in run.points] == [1, 2, 3]
    assert run.until(3) == run.seconds > run.until(2)


def test_it_is_evaluated_no_oftener_than_is_due(config):
    flags.FLAGS(["bench", "--limit=600"])
    score = {"eval/perfect_starts": 0.0}.get
    run = progress.train(
        config, config.log_steps, lambda _: score("eval/perfect_starts"), 1, 1000.0
    )
    assert run.points == [(run.seconds, 0.0)], "only after the last step"


def test_an_evaluation_is_due_after_a_tenth_of_a_second():
    run = progress.Progress(seconds=0.09)
    assert not run.is_due()
    run.seconds = 0.5
    assert run.is_due()
    run.points.append((0.45, 0.0))
    assert not run.is_due()


@pytest.mark.slow
@pytest.mark.parametrize("who", ["dlx", "rejax", "stable_baselines3"])
def test_one_rule_of_evaluations_for_all(who):
    if who != "dlx":
        pytest.importorskip(who, reason="it is not installed")
    flags.FLAGS(["bench", "--limit=0.5"])
    with jax.debug_key_reuse(False), jax.numpy_rank_promotion("allow"):
        if who == "dlx":
            run = rl._dlx(dqn_rocks8.get_config(), lambda _: 0.0, 0)
        elif who == "rejax":
            run = rejax.train("PQN 8x8", lambda _: 0.0, 1.0, 0)
        else:
            run = sb3.train("DQN 8x8", "tuned", 0)
    times = [0.0, *(when for when, _ in run.points)]
    between = np.diff(times[:-1])  # the last one may be at the end
    assert len(between) and between.min() >= progress.BETWEEN


def test_ratios_are_dlx_time_over_the_fastest_peers():
    flags.FLAGS(["bench", "--limit=30"])
    runs = {
        who: [progress.Progress(compiling, points=[(when, 1.0)])]
        for who, compiling, when in (
            ("dlx", 1.0, 1.0), ("rejax", 8.0, 2.0), ("SB3, tuned", 0.0, 4.0),
        )
    }  # fmt: skip
    expected = "0.50; with compilation 0.50, cache filled 0.50"
    assert rl._ratios(runs, 1.0) == expected
    del runs["rejax"]
    expected = "0.25; with compilation 0.50, cache filled 0.50"
    assert rl._ratios(runs, 1.0) == expected
    runs["SB3, tuned"][0].points = []
    assert rl._ratios(runs, 1.0).startswith("less than 0.03; with compilation less")
    runs["dlx"][0].points = []
    assert rl._ratios(runs, 1.0) == "dlx did not reach it"


def test_another_library_is_evaluated_from_every_start():
    torch = pytest.importorskip("torch", reason="torch is not installed")

    class Chase:
        def _predict(self, observations, deterministic):
            assert deterministic
            screens = observations[..., 0].numpy()
            columns = np.arange(screens.shape[1])
            paddle = (screens[:, -1] * columns).sum(-1)
            rock = (screens[:, :-1] * columns).sum((1, 2))
            return torch.as_tensor(np.sign(rock - paddle).astype(int) + self.centre)

    policy, game = Chase(), rocks.Params(size=6)
    policy.centre = 1
    assert sb3.perfect_share(policy, game) == 1
    policy.centre = 0  # goes left even if it should stay
    assert 0 < sb3.perfect_share(policy, game) < 1


def test_the_peers_vector_environment():
    pytest.importorskip("stable_baselines3", reason="it is not installed")
    envs = sb3.vec_env(rocks.Params(size=4, rocks_per_episode=1), num_envs=3)
    assert envs.reset().shape == (3, 4, 4, 1)
    for step in range(1, 4):
        _, rewards, over, infos = envs.step(np.ones(3, int))
        assert over.tolist() == [step == 3] * 3
    assert set(np.abs(rewards)) == {1.0}
    assert all(info["terminal_observation"][:-1].sum() == 0 for info in infos)
    assert not any(info["TimeLimit.truncated"] for info in infos)


def test_minatar_compares_returns_and_seconds(monkeypatch, capsys):
    flags.FLAGS(["bench", "--seeds=3", "--agents=PQN Freeway"])
    monkeypatch.setattr(progress, "is_installed", lambda _: True)
    for who, slower in (("_dlx", 1.0), ("_rejax", 4.0)):

        def train(name, seed, slower=slower):
            assert name == "PQN Freeway"
            points = [(1.0, 0.0), (2.0, 10.0 * seed)]
            return progress.Progress(seconds=slower * (1 + seed), points=points)

        monkeypatch.setattr(minatar, who, train)
    minatar.main()
    *_, ours, peer, ratio = capsys.readouterr().out.splitlines()
    returns = "10.00 (0.00 ... 20.00)"
    assert ours.split() == f"PQN Freeway dlx {returns} 2.00 (1.00 ... 3.00)".split()
    assert peer.split() == f"PQN Freeway rejax {returns} 8.00 (4.00 ... 12.00)".split()
    assert ratio.split() == ["seconds,", "dlx", "/", "rejax:", "0.25"]
    flags.FLAGS(["bench", "--agents=PQN Chess"])
    with pytest.raises(UserError, match="unknown agent 'PQN Chess'; choose from PQN B"):
        minatar.main()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["PQN Breakout", "PPO Breakout"])
def test_minatar_trains_for_all_steps_and_is_evaluated_once(name, monkeypatch):
    pytest.importorskip("rejax", reason="it is not installed")
    flags.FLAGS(["bench", "--limit=0.001"])
    settings = rejax.SETTINGS[name]["settings"] | {"total_timesteps": 16_384}
    monkeypatch.setitem(rejax.SETTINGS[name], "settings", settings)

    def get_config(file, game):
        config = shipped.load(shipped.CONFIGS / f"{file}.py").get_config(game)
        config.num_steps, config.log_steps = 4, 2
        return config

    monkeypatch.setattr(minatar.shipped, "get_config", get_config)
    with jax.debug_key_reuse(False), jax.numpy_rank_promotion("allow"):
        for run in (minatar._dlx(name, 0), minatar._rejax(name, 0)):
            ((when, score),) = run.points
            assert when == run.seconds > 0.001 and score >= 0
