"""Stable-Baselines3's agents on rocks, trained and evaluated like dlx's."""

from collections.abc import Callable, Iterator
import dataclasses
import time
from typing import Any

import gymnasium
import jax
import numpy as np

from dlx.envs import adapters, rocks

from .progress import LIMIT, Progress

# The fastest settings of a search by hand: about five alternatives for each value, runs
# of 12 s, and one thread of PyTorch, which is faster here than two.
_TUNED = {
    "DQN 8x8": {
        "learning_rate": 3e-3,
        "buffer_size": 50_000,
        "learning_starts": 200,
        "batch_size": 128,
        "gamma": 0.95,
        "train_freq": 1,
        "gradient_steps": 1,
        "target_update_interval": 500,
        "exploration_fraction": 0.003,
        "exploration_final_eps": 0.1,
    },
    "DQN 16x16": {
        "learning_rate": 3e-3,
        "buffer_size": 100_000,
        "learning_starts": 1000,
        "batch_size": 128,
        "gamma": 0.95,
        "train_freq": 1,
        "gradient_steps": 1,
        "target_update_interval": 500,
        "exploration_fraction": 0.005,
        "exploration_final_eps": 0.1,
    },
    "PPO 16x16": {
        "learning_rate": 2e-2,
        "n_steps": 15,
        "batch_size": 3840,
        "n_epochs": 2,
        "gamma": 0.9,
        "gae_lambda": 0.95,
        "ent_coef": 0.05,
    },
}
_NUM_ENVS = {"DQN 8x8": 16, "DQN 16x16": 16, "PPO 16x16": 256}


def train(name: str, kind: str, seed: int) -> Progress:
    """Trains an agent until it is perfect or --limit is reached.

    Args:
      name: A key of _TUNED: algorithm and screen size.
      kind: 'tuned' or 'defaults'.
      seed: The random seed.
    """
    import stable_baselines3
    from stable_baselines3.common.callbacks import BaseCallback
    import torch

    torch.set_num_threads(1)
    algorithm, size = name.split()
    game = rocks.Params(size=int(size.split("x")[0]))
    run = Progress()

    class Evaluation(BaseCallback):
        """Evaluates when it is due, and ends the training."""

        def _on_step(self):
            now = time.perf_counter()
            run.seconds += now - self.began
            self.began = now
            if not run.is_due():
                return True
            share = perfect_share(self.model.policy, game)
            run.points.append((run.seconds, share))
            self.began = time.perf_counter()
            return share < 1 and run.seconds < LIMIT.value

    if kind == "tuned":
        envs = vec_env(game, _NUM_ENVS[name])
        network = {"net_arch": [128], "activation_fn": torch.nn.ReLU}
        settings = _TUNED[name] | {"policy_kwargs": network}
    else:
        envs, settings = gymnasium.make("dlx/Rocks-v0", size=game.size), {}
    with torch.random.fork_rng():
        model = getattr(stable_baselines3, algorithm)(
            "MlpPolicy", envs, seed=seed, device="cpu", **settings
        )
        evaluation = Evaluation()
        evaluation.began = time.perf_counter()
        # Schedules need a length; this is about the number of steps within the limit.
        model.learn(1_000_000, callback=evaluation)
    return run


def perfect_share(policy, game: rocks.Params) -> float:
    """The share of start positions with a caught rock, as `measure.perfect_starts`."""
    import torch

    alone = game.replace(rocks_per_episode=1)
    columns = np.arange(game.size, dtype=np.int32)
    paddle, column = (grid.ravel() for grid in np.meshgrid(columns, columns))
    state = rocks.State(np.zeros_like(paddle), paddle, column[:, None])
    rewards = None
    for screens, advance in _screens(state, alone):
        with torch.no_grad():
            actions = policy._predict(torch.as_tensor(screens), deterministic=True)
        rewards = advance(actions.numpy())
    return float(np.mean(rewards > 0))


def _screens(state, game) -> Iterator[tuple[np.ndarray, Callable]]:
    """Yields each step's screens, and a function: actions -> rewards."""

    def advance(actions):
        nonlocal state
        state, rewards = _advance(state, actions, game)
        return np.asarray(rewards)

    for _ in range(game.episode_steps):
        yield np.array(_render(state, game)), advance


_render = jax.jit(rocks.render)


@jax.jit
def _advance(state, actions, game):
    # The key is not used, because no other rock appears.
    return rocks.step_env(jax.random.key(0), state, actions, game)[1:3]


def vec_env(game: rocks.Params, num_envs: int) -> Any:
    """Wraps `RocksVectorEnv` as a vector environment of Stable-Baselines3."""
    from stable_baselines3.common.vec_env import VecEnv

    class Rocks(VecEnv):
        def __init__(self):
            self.envs = adapters.RocksVectorEnv(num_envs, **dataclasses.asdict(game))
            spaces = self.envs.single_observation_space, self.envs.single_action_space
            super().__init__(num_envs, *spaces)

        def seed(self, seed=None):
            self._first = seed

        def reset(self):
            return self.envs.reset(seed=getattr(self, "_first", None))[0]

        def step_async(self, actions):
            self._actions = actions

        def step_wait(self):
            obs, rewards, terminated, truncated, info = self.envs.step(self._actions)
            over = terminated | truncated
            infos = [{} for _ in range(num_envs)]
            for i in np.flatnonzero(over):
                infos[i] = {
                    "terminal_observation": info["final_obs"][i],
                    "TimeLimit.truncated": bool(truncated[i]),
                }
            return obs, rewards, over, infos

        def close(self):
            self.envs.close()

        def get_attr(self, attr_name, indices=None):
            return [getattr(self.envs, attr_name, None)] * num_envs

        def set_attr(self, attr_name, value, indices=None):
            raise NotImplementedError

        def env_method(self, method_name, *args, indices=None, **kwargs):
            raise NotImplementedError

        def env_is_wrapped(self, wrapper_class, indices=None):
            return [False] * num_envs

    return Rocks()
