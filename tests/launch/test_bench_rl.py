"""The clock of the agents' bench, and how it judges a peer."""

from absl import flags
import numpy as np
import pytest

from dlx.envs import rocks
from launch.bench import progress, rl


def test_until_and_median():
    runs = [
        progress.Progress(points=[(1.0, 0.5), (2.0, 0.995), (3.0, 1.0)]),
        progress.Progress(points=[(1.5, 1.0)]),
        progress.Progress(points=[(9.0, 0.2)]),
    ]
    assert [run.until(0.99) for run in runs] == [2.0, 1.5, None]
    assert rl._median(runs, 1.0) == 3.0, "one that never gets there is the slowest"
    assert rl._median(runs[2:], 1.0) is None
    cell = progress.cell([run.until(0.99) for run in runs])
    assert cell == "1.75 (1.50 ... 2.00) 2/3"


def test_a_training_ends_where_it_is_good(config):
    flags.FLAGS(["bench", "--limit=600"])
    every, judged = 2 * config.log_steps, []

    def judge(numbers):
        judged.append(numbers["eval/perfect_starts"])
        return len(judged)

    run = progress.train(config, every, judge, good=3)
    assert [good for _, good in run.points] == [1, 2, 3]
    assert run.until(3) == run.seconds > run.until(2)


def test_a_peer_is_judged_from_every_start():
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
    assert rl._perfect_share(policy, game) == 1
    policy.centre = 0  # goes left even where it should stay
    assert 0 < rl._perfect_share(policy, game) < 1


def test_the_peers_vector_environment():
    pytest.importorskip("stable_baselines3", reason="it is not installed")
    envs = rl._vec_env(rocks.Params(size=4, rocks_per_episode=1), num_envs=3)
    assert envs.reset().shape == (3, 4, 4, 1)
    for step in range(1, 4):
        _, rewards, over, infos = envs.step(np.ones(3, int))
        assert over.tolist() == [step == 3] * 3
    assert set(np.abs(rewards)) == {1.0}
    assert all(info["terminal_observation"][:-1].sum() == 0 for info in infos)
    assert not any(info["TimeLimit.truncated"] for info in infos)
