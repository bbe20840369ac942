"""Five games that an agent fails for one reason only, as in rejax's tests.

`GOALS` says what a trained agent's action values, or its return, must be.
"""

import dataclasses

from flax import struct
import jax
import jax.numpy as jnp

from dlx.envs.environment import Environment


@struct.dataclass
class State:
    """time: [num_envs] int32. signal: [num_envs] float32, -1 or 1."""

    time: jax.Array
    signal: jax.Array


@dataclasses.dataclass(frozen=True)
class Probe(Environment):
    """An episode of `length` steps with a signal of -1 or 1.

    Attributes:
      reads: Whether the observation is the signal; otherwise it is the time.
      pays: 'always' 1, the 'signal', the 'action' (1 for action 1, -1 for 0), or 'both'
        (1 if the action agrees with the signal, else -1), in the last step.
      num_actions: The number of actions.
      length: The number of steps.
    """

    reads: bool = False
    pays: str = "always"
    num_actions: int = 2
    length: int = 1
    max_episode_steps = 4

    def reset(self, key, num_envs):
        signal = 2.0 * jax.random.bernoulli(key, 0.5, (num_envs,)) - 1.0
        return State(jnp.zeros(num_envs, jnp.int32), signal)

    def step(self, key, state, actions):
        choice = 2.0 * actions - 1.0
        pay = {
            "always": jnp.ones_like(choice),
            "signal": state.signal,
            "action": choice,
            "both": choice * state.signal,
        }[self.pays]
        last = state.replace(time=state.time + 1)
        over = last.time == self.length
        first = self.reset(key, len(actions))
        state = jax.tree.map(lambda a, b: jnp.where(over, a, b), first, last)
        return state, last, jnp.where(over, pay, 0.0), over, jnp.zeros_like(over)

    def observe(self, state):
        seen = state.signal if self.reads else state.time.astype(jnp.float32)
        return seen[:, None]


ONE_ACTION = {"num_actions": 1}
PROBES = {  # name: (the game's fields, the best return)
    "one action, one state": (ONE_ACTION, 1.0),
    "reward by observation": (ONE_ACTION | {"reads": True, "pays": "signal"}, None),
    "reward after a delay": (ONE_ACTION | {"length": 2}, 1.0),
    "reward by action": ({"pays": "action"}, 1.0),
    "reward by both": ({"reads": True, "pays": "both"}, 1.0),
}
