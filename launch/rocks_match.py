"""Games of rocks, of an agent and perhaps of a person beside it."""

import functools

import jax
import numpy as np

from dlx.envs import measure, rocks


class Match:
    """Games of the agent, and of a person beside it, on the same rocks."""

    def __init__(self, game: rocks.Params, scores, human: bool):
        """As `policy` of an agent's module has them; `scores` with its parameters."""
        self.game = game.replace(max_steps=None)
        self.human = human
        self.players = ["you", "agent"] if self.human else ["agent"]
        self._render = jax.jit(functools.partial(rocks.render, params=self.game))
        self._screens = jax.jit(functools.partial(measure.screens, params=self.game))
        self._reset = jax.jit(lambda key: rocks.reset(key, self.game, 1)[1])
        step = functools.partial(rocks.step_env, params=self.game)
        self._step = jax.jit(lambda *args: step(*args)[1:3])
        self._scores = scores
        self.caught = dict.fromkeys(self.players, 0)  # in all games together
        self.games = 0

    def begin(self, key: jax.Array) -> None:
        """The next game; all players see its rocks fall alike."""
        self._key, reset_key = jax.random.split(key)
        self.states = dict.fromkeys(self.players, self._reset(reset_key))
        self.rewards = {player: [] for player in self.players}
        self.games += 1

    def think(self) -> np.ndarray:
        """What the agent makes of its actions now, [num_actions] float32."""
        return np.asarray(self._scores(self._render(self.states["agent"])))[0]

    def step(self, human: int = rocks.STAY) -> None:
        """All players move: the person as told, the agent as it thinks best."""
        actions = {"you": human, "agent": int(np.argmax(self.think()))}
        step = len(self.rewards["agent"])
        for player in self.players:
            key = jax.random.fold_in(self._key, step)
            action = np.array([actions[player]])
            self.states[player], reward = self._step(key, self.states[player], action)
            self.rewards[player].append(float(reward[0]))
            self.caught[player] += int(reward[0] > 0)

    @property
    def over(self) -> bool:
        return len(self.rewards["agent"]) == self.game.episode_steps

    def screen(self, player: str) -> np.ndarray:
        """As `play.screens` has it, [size, size] int8."""
        return np.asarray(self._screens(self.states[player]))[0]

    def score(self, player: str) -> str:
        rewards = np.array(self.rewards[player])
        return f"{player}: {np.sum(rewards > 0)} of {np.sum(rewards != 0)}"
