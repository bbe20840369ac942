"""Rocks with the interface of Gymnasium.

    import gymnasium, dlx.envs.adapters  # registers the environments

    env = gymnasium.make("dlx/Rocks-v0", size=16)
    envs = gymnasium.make_vec("dlx/Rocks-v0", num_envs=64, size=16)

Both take the fields of `rocks.Params` by name. The rules are implemented in `rocks`
only.
"""

from collections.abc import Sequence
import functools
from typing import Any, ClassVar

import gymnasium
import jax
import numpy as np

from dlx.envs import drawing, measure, rocks

_RENDER_MODES = ("rgb_array", "ansi")


class RocksEnv(gymnasium.Env):
    """One game as a `gymnasium.Env`.

    Observations are [size, size, 1] float32 of 0 and 1; actions are 0 left, 1 stay,
    2 right.
    """

    metadata: ClassVar = {"render_modes": list(_RENDER_MODES), "render_fps": 12}

    def __init__(self, render_mode: str | None = None, **game):
        self.game = rocks.Params(**game)
        self.render_mode = _require_render_mode(render_mode)
        self.observation_space, self.action_space = _spaces(self.game)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts a game. The seed determines its rocks."""
        super().reset(seed=seed)
        self._seed, self._steps = _draw_seed(self.np_random), 0
        observation, self._state = _reset(self._seed, self.game, 1)
        return np.array(observation[0]), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Plays one step."""
        self._steps += 1
        observation, self._state, reward, terminated, truncated, _ = _step_env(
            self._seed, self._steps, self._state, np.array([action]), self.game
        )
        observation = np.array(observation[0])
        return (
            observation,
            float(reward[0]),
            bool(terminated[0]),
            bool(truncated[0]),
            {},
        )

    def render(self) -> np.ndarray | str | None:
        """Renders the screen per `render_mode`: [height, width, 3] uint8 or text."""
        frames = _frames(self.render_mode, self._state, self.game)
        return frames and frames[0]


class RocksVectorEnv(gymnasium.vector.VectorEnv):
    """A batch of games as a `gymnasium.vector.VectorEnv`, stepped in one device call.

    A game that ends is reset in the same step. Its last screen is in
    `info['final_obs']`.
    """

    metadata: ClassVar = {
        "render_modes": list(_RENDER_MODES),
        "render_fps": 12,
        "autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP,
    }

    def __init__(self, num_envs: int = 1, render_mode: str | None = None, **game):
        self.game = rocks.Params(**game)
        self.num_envs = num_envs
        self.render_mode = _require_render_mode(render_mode)
        spaces = _spaces(self.game)
        self.single_observation_space, self.single_action_space = spaces
        self.observation_space, self.action_space = (
            gymnasium.vector.utils.batch_space(space, num_envs) for space in spaces
        )

    def reset(
        self,
        *,
        seed: int | Sequence[int] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Starts all games. The seed determines their rocks.

        A list of seeds, one for each game, determines the rocks of all games together.

        Raises:
          ValueError: if the length of the list is not the number of games.
        """
        if isinstance(seed, Sequence | np.ndarray):
            if len(seed) != self.num_envs:
                raise ValueError(
                    f"rocks: {len(seed)} seeds were given for {self.num_envs} games"
                )
            (seed,) = np.random.SeedSequence(seed).generate_state(1)
            seed = int(seed)
        super().reset(seed=seed)
        self._seed, self._steps = _draw_seed(self.np_random), 0
        observations, self._state = _reset(self._seed, self.game, self.num_envs)
        return np.array(observations), {}

    def step(self, actions: np.ndarray):
        """Plays one step of every game."""
        self._steps += 1
        observations, self._state, rewards, terminated, truncated, info = _step(
            self._seed, self._steps, self._state, np.asarray(actions), self.game
        )
        terminated, truncated = np.array(terminated), np.array(truncated)
        infos = {}
        over = terminated | truncated
        if over.any():
            final = np.full(self.num_envs, None, object)
            screens = np.array(info["final_observation"])
            for i in np.flatnonzero(over):
                final[i] = screens[i]
            infos = {"final_obs": final, "_final_obs": over}
            infos |= {"final_info": {}, "_final_info": over.copy()}
        return np.array(observations), np.array(rewards), terminated, truncated, infos

    def render(self) -> tuple[np.ndarray | str, ...] | None:
        """Renders every game, like `RocksEnv.render`."""
        return _frames(self.render_mode, self._state, self.game)


def _require_render_mode(render_mode):
    if render_mode not in (None, *_RENDER_MODES):
        raise ValueError(
            f"rocks: render_mode must be one of {', '.join(_RENDER_MODES)} or None, "
            f"got {render_mode!r}"
        )
    return render_mode


def _spaces(game):
    shape = (game.size, game.size, 1)
    observations = gymnasium.spaces.Box(0.0, 1.0, shape, np.float32)
    return observations, gymnasium.spaces.Discrete(rocks.NUM_ACTIONS)


def _draw_seed(generator):
    return generator.integers(2**32, dtype=np.uint32)


def _frames(render_mode, state, game):
    if render_mode is None:
        return None
    draw = {"rgb_array": drawing.picture, "ansi": drawing.text}[render_mode]
    return tuple(draw(screen) for screen in np.asarray(measure.screens(state, game)))


@functools.partial(jax.jit, static_argnames="num_envs")
def _reset(seed, game, num_envs):
    return rocks.reset(_key(seed, 0), game, num_envs)


def _key(seed, steps):
    """The random key of the reset (steps = 0) or of a step (counted from 1)."""
    return jax.random.fold_in(jax.random.key(seed), steps)


@jax.jit
def _step(seed, steps, state, actions, game):
    return rocks.step(_key(seed, steps), state, actions, game)


@jax.jit
def _step_env(seed, steps, state, actions, game):
    return rocks.step_env(_key(seed, steps), state, actions, game)


gymnasium.register(
    "dlx/Rocks-v0",
    entry_point="dlx.envs.adapters:RocksEnv",
    vector_entry_point="dlx.envs.adapters:RocksVectorEnv",
)
