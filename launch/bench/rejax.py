"""rejax's agents on rocks and on gymnax's games, evaluated like dlx's.

rejax 0.1.3 expects the five values that a step of gymnax returned before 1.0.
`_FiveValues` returns them. rejax treats truncated episodes like terminated ones.
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dlx import streams
from dlx.envs import registration
from dlx.envs.gymnax import GymnaxRocks

from .progress import BETWEEN, LIMIT, Progress

_ROCKS = {
    "max_grad_norm": 10.0,
    "num_epochs": 2,
    "learning_rate": 2e-3,
    "eps_end": 0.05,
    "exploration_fraction": 0.03,
}
_PPO = {
    "num_envs": 64,
    "num_steps": 32,
    "num_epochs": 4,
    "num_minibatches": 4,
    "learning_rate": 2e-3,
    "max_grad_norm": 0.5,
    "gamma": 0.99,
}
_MINATAR_STEPS = 10_240_000
_MINATAR = {
    "PQN": {"num_envs": 128, "num_steps": 32, "num_epochs": 2, "num_minibatches": 16}
    | {"max_grad_norm": 10.0, "gamma": 0.99, "td_lambda": 0.65}
    | {"eps_end": 0.05, "exploration_fraction": 0.1},
    "PPO": {"num_envs": 128, "num_steps": 64, "num_epochs": 3, "num_minibatches": 8}
    | {"max_grad_norm": 0.5, "gamma": 0.99, "ent_coef": 0.03},
}
_MINATAR_RATES = {"PQN": 1e-3, "PPO": 2e-3}  # at the start


def _falling(kind: str):
    """A learning rate that falls to 0 over all updates on MinAtar, like dlx's."""
    s = _MINATAR[kind]
    iterations = _MINATAR_STEPS // (s["num_envs"] * s["num_steps"])
    updates = iterations * s["num_epochs"] * s["num_minibatches"]
    return optax.linear_schedule(_MINATAR_RATES[kind], 0.0, updates)


# One setting for each row. docs/measured.md has the search for those of PQN on 16x16
# and 32x32; those of the other rows were not searched.
# `widths` are the widths of the hidden layers.
SETTINGS = {
    "PQN 8x8": {
        "game": ("rocks", {"size": 8}),
        "widths": (128,),
        "settings": _ROCKS
        | {"num_envs": 256, "num_steps": 7, "num_minibatches": 4}
        | {"gamma": 0.9, "td_lambda": 0.8, "total_timesteps": 1_075_200},
    },
    "PQN 16x16": {
        "game": ("rocks", {"size": 16}),
        "widths": (128,),
        "settings": _ROCKS
        | {"num_envs": 64, "num_steps": 15, "num_minibatches": 8}
        | {"num_epochs": 1, "learning_rate": 3e-3, "exploration_fraction": 0.05}
        | {"gamma": 0.9, "td_lambda": 0.8, "total_timesteps": 1_152_000},
    },
    "PQN 32x32": {
        "game": ("rocks", {"size": 32}),
        "widths": (128,),
        "settings": _ROCKS
        | {"num_envs": 512, "num_steps": 31, "num_minibatches": 16}
        | {"learning_rate": 1e-3}
        | {"gamma": 0.98, "td_lambda": 0.95, "total_timesteps": 9_523_200},
    },
    "PPO CartPole-v1": {
        "game": ("gymnax/CartPole-v1", {}),
        "widths": (64, 64),
        "settings": _PPO | {"total_timesteps": 2_000_000},
    },
    "PPO Catch-bsuite": {
        "game": ("gymnax/Catch-bsuite", {}),
        "widths": (64, 64),
        "settings": _PPO | {"total_timesteps": 2_000_000},
    },
} | {
    f"{kind} {game}": {
        "game": (f"gymnax/{game}-MinAtar", {}),
        "widths": (128, 128),
        "settings": _MINATAR[kind]
        | {"learning_rate": _falling(kind), "total_timesteps": _MINATAR_STEPS},
    }
    for kind in _MINATAR
    for game in ("Breakout", "Asterix", "Freeway", "SpaceInvaders")
}


class _FiveValues:
    """gymnax's interface before 1.0: `done` stands for terminated and truncated."""

    def __init__(self, env):
        self._env = env

    def __getattr__(self, name):
        if name == "_env":  # while a copy is being made
            raise AttributeError(name)
        return getattr(self._env, name)

    def step(self, key, state, action, params):
        step = self._env.step(key, state, action, params)
        observation, state, reward, terminated, truncated, info = step
        return observation, state, reward, terminated | truncated, info


def train(
    name: str,
    score,
    goal: float,
    seed: int,
    between: float = BETWEEN,
    limit: float | None = None,
) -> Progress:
    """Trains one of rejax's agents until it reaches a goal or a limit.

    Args:
      name: A key of `SETTINGS`; it begins with 'PQN' or 'PPO'.
      score: {'eval/NAME': number} -> score.
      goal: The score at which training ends. It also ends after the setting's steps,
        or after `limit`.
      seed: The random seed.
      between: The fewest seconds of training from one evaluation to the next. The
        state after the last step is evaluated in any case.
      limit: The longest training in seconds; None is that of --limit.
    """
    limit = LIMIT.value if limit is None else limit
    game, algorithm, run = _made(name)
    each = algorithm.num_envs * algorithm.num_steps
    iterations = max(1, 20_000 // each)  # about as many steps as a call of dlx trains
    calls = algorithm.total_timesteps // each // iterations

    @jax.jit
    def iterate(state):
        return jax.lax.fori_loop(
            0, iterations, lambda _, state: algorithm.train_iteration(state), state
        )

    @jax.jit
    def evaluate(state, key):
        return game.measure(_policy(name, algorithm, state), key, 100)

    jax.clear_caches()
    began = time.perf_counter()
    state = jax.jit(algorithm.init_state)(jax.random.key(seed))
    state = jax.tree.map(jnp.asarray, state)
    compiled = iterate.lower(state).compile()
    run.compile_seconds = time.perf_counter() - began
    keys = streams.Keys(seed)
    for number in range(1, calls + 1):
        began = time.perf_counter()
        state = jax.block_until_ready(compiled(state))
        run.seconds += time.perf_counter() - began
        is_over = number == calls or run.seconds > limit
        if not is_over and not run.is_due(between):
            continue
        numbers = jax.device_get(evaluate(state, keys.evaluate(number)))
        numbers = {f"eval/{key}": float(x) for key, x in numbers.items()}
        run.points.append((run.seconds, score(numbers)))
        if is_over or run.points[-1][1] >= goal:
            break
    return run


def _made(name) -> tuple[Any, Any, Progress]:
    """The game as dlx measures it, rejax's algorithm, and an empty progress."""
    from flax import linen as nn
    import rejax
    from rejax.networks import DiscreteQNetwork, EpsilonGreedyPolicy

    peer = SETTINGS[name]
    env_name, fields = peer["game"]
    game = registration.make(env_name, **fields)
    env = GymnaxRocks(**fields) if env_name == "rocks" else game.env
    kind = name.split()[0]
    own = {} if kind == "PQN" else {"hidden_layer_sizes": peer["widths"]}
    algorithm = rejax.get_algo(kind.lower()).create(
        env=_FiveValues(env),
        env_params=env.default_params,
        agent_kwargs=own,
        skip_initial_evaluation=True,
        **peer["settings"],
    )
    if kind == "PQN":  # its width is fixed
        agent = EpsilonGreedyPolicy(DiscreteQNetwork)(
            action_dim=game.num_actions,
            hidden_layer_sizes=peer["widths"],
            activation=lambda x: nn.relu(nn.LayerNorm()(x)),
        )
        algorithm = algorithm.replace(agent=agent)
    return game, algorithm, Progress()


def _policy(name, algorithm, state):
    """The greedy policy: observations -> actions."""
    if name.startswith("PQN"):
        return lambda x: jnp.argmax(algorithm.agent.apply(state.q_ts.params, x), -1)
    return lambda x: algorithm.actor.apply(
        state.actor_ts.params, x, method="_action_dist"
    ).mode()
