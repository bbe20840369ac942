"""Games of rocks played by an agent, and optionally a person, on the same rocks."""

import functools

import jax
import numpy as np

from dlx.envs import measure, rocks


class Match:
    """A series of games. All players of a game have the same rocks.

    Attributes:
      game: The game.
      human: Whether a person plays beside the agent.
      players: The players' names: 'you', if a person plays, and 'agent'.
      caught: The number of rocks that each player caught in all games.
      games: The number of games begun.
      states: {player: rocks.State of one game}. The current game.
      rewards: {player: the rewards of the current game so far}.
    """

    def __init__(self, game: rocks.Params, scores, human: bool):
        """Prepares a match.

        Args:
          game: The game.
          scores: [1, size, size, 1] float32 screen -> [1, num_actions] float32. The
            agent's logits or action values.
          human: Whether a person plays beside the agent.
        """
        self.game = game.replace(max_steps=None)
        self.human = human
        self.players = ["you", "agent"] if self.human else ["agent"]
        self._render = jax.jit(functools.partial(rocks.render, params=self.game))
        self._screens = jax.jit(functools.partial(measure.screens, params=self.game))
        self._reset = jax.jit(lambda key: rocks.reset(key, self.game, 1)[1])
        step = functools.partial(rocks.step_env, params=self.game)
        self._step = jax.jit(lambda *args: step(*args)[1:3])
        self._scores = scores
        self.caught = dict.fromkeys(self.players, 0)
        self.games = 0

    def begin(self, key: jax.Array) -> None:
        """Begins the next game."""
        self._key, reset_key = jax.random.split(key)
        self.states = dict.fromkeys(self.players, self._reset(reset_key))
        self.rewards = {player: [] for player in self.players}
        self.games += 1

    def agent_scores(self) -> np.ndarray:
        """The agent's logits or action values now, [num_actions] float32."""
        return np.asarray(self._scores(self._render(self.states["agent"])))[0]

    def step(self, human: int = rocks.STAY) -> None:
        """Plays one step: the given action of the person, the agent's best action."""
        actions = {"you": human, "agent": int(np.argmax(self.agent_scores()))}
        step = len(self.rewards["agent"])
        for player in self.players:
            key = jax.random.fold_in(self._key, step)
            action = np.array([actions[player]])
            self.states[player], reward = self._step(key, self.states[player], action)
            self.rewards[player].append(float(reward[0]))
            self.caught[player] += int(reward[0] > 0)

    @property
    def over(self) -> bool:
        """Whether the current game is over."""
        return len(self.rewards["agent"]) == self.game.episode_steps

    def screen(self, player: str) -> np.ndarray:
        """A player's screen, [size, size] int8, as returned by `measure.screens`."""
        return np.asarray(self._screens(self.states[player]))[0]

    def score(self, player: str) -> str:
        """The current game's score as text: 'agent: 3 of 4'."""
        rewards = np.array(self.rewards[player])
        return f"{player}: {np.sum(rewards > 0)} of {np.sum(rewards != 0)}"
