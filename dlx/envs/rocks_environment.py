"""Rocks as an `Environment`."""

import dataclasses

import jax
import numpy as np

from dlx.envs import drawing, measure, rocks
from dlx.envs.environment import Environment, Policy


@dataclasses.dataclass(frozen=True)
class Rocks(Environment):
    """The game of `rocks`, whose start positions can all be tried.

    Observations are [num_envs, size, size, 1] float32 screens of 0 and 1.

    Attributes:
      params: The game's parameters.
      sparse: Whether observations list the pixels that are 1 (`rocks.pixels`), which
        contain the same information as screens. Films and people see screens.
    """

    params: rocks.Params
    sparse: bool = False
    num_actions = rocks.NUM_ACTIONS

    @property
    def metric(self) -> str:
        """The metric that selects the best checkpoint.

        With one rock at a time every start can be tried; with several rocks only a
        sample of episodes can.
        """
        return "perfect_starts" if self.params.max_rocks == 1 else "optimal_fraction"

    @property
    def truncates(self) -> bool:
        return self.params.max_steps is not None

    @property
    def max_episode_steps(self) -> int:
        return self.params.episode_steps

    def reset(self, key, num_envs):
        return rocks.reset(key, self.params, num_envs)[1]

    def step(self, key, state, actions):
        _, state, reward, terminated, truncated, info = rocks.step(
            key, state, actions, self.params
        )
        return state, info["final_state"], reward, terminated, truncated

    def observe(self, state):
        return self._observe(state, self.params)

    def pack(self, state):
        return rocks.pack(state, self.params)

    def unpack(self, packed):
        return rocks.unpack(packed)

    def measure(
        self, policy: Policy, key: jax.Array, num_episodes: int
    ) -> dict[str, jax.Array]:
        """Measures all starts exactly and a sample of episodes: `measure.measure`."""
        num_rocks = num_episodes * self.params.rocks_per_episode
        return measure.measure(policy, self.params, key, num_rocks, self._observe)

    def film(self, policy: Policy, key: jax.Array) -> np.ndarray:
        """Films one episode with its score: [frames, height, width, 3] uint8."""
        record = jax.jit(lambda key: measure.record(policy, self.params, key))
        screens, scores = jax.device_get(record(key))
        return drawing.film(screens, scores, self.params.rocks_per_episode)

    @property
    def _observe(self):
        return rocks.pixels if self.sparse else rocks.render
