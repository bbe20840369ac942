"""Steps per second of the game, of gymnax's Catch, and of agents in training."""

from collections.abc import Callable
import functools
import statistics

from absl import flags
import jax
import jax.numpy as jnp

from dlx import tasks
from dlx.envs import rocks
from dlx.errors import UserError
from dlx.runtime import devices, memory

from .. import shipped
from . import bandwidth, timing

SCREEN_BYTES = 16 * 16 * 4  # float32
_GAMES = "Breakout", "Asterix", "Freeway", "SpaceInvaders"
_ROCKS = "pg", "dqn", "pqn"
_MINATAR = "ppo", "dqn", "pqn"
_NUM_ENVS = flags.DEFINE_list("num_envs", ["1", "64", "2048", "16384"], "Batch sizes.")


def main() -> None:
    """Prints the tables."""
    print(timing.machine())
    if not all(n.isdecimal() and int(n) for n in _NUM_ENVS.value):
        raise UserError(f"--num_envs must be numbers, got {_NUM_ENVS.value}")
    rate, size = bandwidth.measured()
    print(bandwidth.describe(rate, size), "\n", sep="")
    catch = _catch()
    print(
        "random actions, a 16x16 float32 screen rendered every step, against "
        "gymnax's Catch-bsuite (10x5)\n"
        f"{'envs':>6}  {'rocks steps/s':<32}{'catch steps/s':<32}{'rocks / catch':>13}"
        f"{'screens':>15}{'of memory':>11}{'rendering alone':>20}{'of memory':>11}"
    )
    cached = [n for n in map(int, _NUM_ENVS.value) if _compare(n, catch, rate) > 1]
    if cached:
        screens = " and ".join(memory.size(SCREEN_BYTES * n) for n in cached)
        print(
            f"above 100 %: screens of {screens} stay in the caches, which are faster "
            "than memory"
        )
    print(
        "\nsteps/s of agents on 16x16: playing with their networks, and training\n"
        f"{'envs':>6}"
        + "".join(
            f"  {f'{name}_rocks16 {what}':<30}"
            for name in _ROCKS
            for what in ("playing", "training")
        )
    )
    for num_envs in map(int, _NUM_ENVS.value):
        print(f"{num_envs:>6}", end="", flush=True)
        for name in _ROCKS:
            _agent(shipped.get_config(f"{name}_rocks16"), num_envs)
        print()
    if catch:
        _minatar()


def _minatar():
    """Prints a table of agents on MinAtar's games, at their configs' sizes."""
    print(f"\nsteps/s of agents on MinAtar\n{'':26}{'playing':<32}training")
    for name in _MINATAR:
        for game in _GAMES:
            config = shipped.get_config(f"{name}_minatar", game)
            print(f"{f'{name}_minatar:{game}':<26}", end="", flush=True)
            _agent(config, config.num_envs)
            print()


def _compare(num_envs, catch, bandwidth):
    """Prints a row; returns the largest share of the bandwidth."""
    seconds, steps = random_play(num_envs, catch)
    rocks_rate, catch_rate, ratio = timing.rate(steps, seconds["rocks"]), "-", "-"
    if catch:
        medians = {name: statistics.median(s) for name, s in seconds.items()}
        catch_rate = timing.rate(steps, seconds["catch"])
        ratio = f"{medians['rocks'] / medians['catch']:.2f}"
    print(f"{num_envs:>6}  {rocks_rate:<32}{catch_rate:<32}{ratio:>13}", end="")
    shares = []
    for name, width in (("rocks", 10), ("render", 15)):
        written = SCREEN_BYTES * steps / statistics.median(seconds[name])
        shares.append(written / bandwidth)
        print(f"{written / 1e9:>{width}.1f} GB/s{shares[-1]:>11.0%}", end="")
    print(flush=True)
    return max(shares)


def random_play(
    num_envs: int, catch: tuple[Callable, Callable] | None = None
) -> tuple[dict[str, list[float]], int]:
    """Times random actions and, as 'render', the game's rendering alone.

    Args:
      num_envs: The number of environments on one device.
      catch: reset and step of gymnax's game, to be timed in turns as 'catch'.

    Returns:
      {'rocks', 'render' and perhaps 'catch': seconds}, and the steps of a call.
    """
    num_steps = max(20, 2_000_000 // (num_envs + 200))
    games = {"rocks": _rocks()} | ({"catch": catch} if catch else {})
    calls = {
        name: _random_rollout(reset, step, num_envs, num_steps)
        for name, (reset, step) in games.items()
    }
    seconds = timing.in_turns(calls | {"render": _render(num_envs, num_steps)})
    return seconds, num_envs * num_steps


def _render(num_envs, num_steps):
    """A function that only renders falling rocks."""
    game = rocks.Params()

    @functools.partial(jax.jit, donate_argnums=0)
    def play(carry):
        def body(carry, _):
            _, state = carry
            state = state.replace(time=(state.time + 1) & 7)
            return (rocks.render(state, game), state), None

        return jax.lax.scan(body, carry, length=num_steps)

    return timing.carried(play, rocks.reset(jax.random.key(0), game, num_envs))


def _random_rollout(reset, step, num_envs, num_steps):
    """A function that plays random actions.

    The screens are part of the carry, which prevents XLA from skipping them.
    """

    @functools.partial(jax.jit, donate_argnums=0)
    def play(carry, key):
        def body(carry, key):
            _, state, total = carry
            action_key, env_key = jax.random.split(key)
            bits = jax.random.bits(action_key, (num_envs,))
            actions = (bits % 3).astype(jnp.int32)
            obs, state, reward, *_ = step(env_key, state, actions)
            return (obs, state, total + reward), None

        return jax.lax.scan(body, carry, jax.random.split(key, num_steps))

    start = *reset(jax.random.key(0), num_envs), jnp.zeros(num_envs)
    return timing.carried(play, start, jax.random.key(1))


def _rocks():
    game = rocks.Params()
    return (
        lambda key, num_envs: rocks.reset(key, game, num_envs),
        lambda key, state, actions: rocks.step(key, state, actions, game),
    )


def _catch():
    """The same functions of gymnax's game; None, with a message, without gymnax."""
    try:
        import gymnax
    except ImportError:
        print(
            "gymnax (needs JAX < 0.12) is not installed and not compared: "
            "pip install '.[bench]'"
        )
        return None
    env, params = gymnax.make("Catch-bsuite")

    def reset(key, num_envs):
        return jax.vmap(env.reset, (0, None))(jax.random.split(key, num_envs), params)

    def step(key, state, actions):
        keys = jax.random.split(key, actions.shape[0])
        return jax.vmap(env.step, (0, 0, 0, None))(keys, state, actions, params)

    return reset, step


def _agent(config, num_envs):
    """Prints the steps per second of an agent with `num_envs` games a device."""
    for steps, seconds in agent(config, num_envs).values():
        print(f"  {timing.rate(steps, seconds):<30}", end="", flush=True)


def agent(config, num_envs: int) -> dict[str, tuple[int, list[float]]]:
    """Times an agent with `num_envs` games a device.

    Returns:
      {'playing', on one device, and 'training', on all: (steps of a call, seconds)}.
    """
    config.num_envs = num_envs * jax.device_count()
    module = tasks.module(config)
    if config.task == "dqn":  # the replay holds at least eight steps of all games
        config.replay_size = max(config.replay_size, 8 * config.num_envs)
        play, steps = module.make_play(config, *module.agent(config)), 1
    else:
        rollout = module.make_rollout(config, *module.agent(config))
        steps = config.rollout_steps
        if num_envs * steps % config.get("minibatches", 1):
            config.minibatches = 1

        def play(state, key):
            return rollout(state.params, state, key)[0]

    return _train(num_envs, config, play, steps)


def _train(num_envs, config, play, steps_each):
    num_steps = max(2, 500_000 // (num_envs + 500) // steps_each)
    task, key = tasks.make(config), jax.random.key(0)
    state = devices.init(task, key)
    train = devices.train_steps(task, state, num_steps)

    @functools.partial(jax.jit, donate_argnums=0)
    def play_on(state, key):
        def body(state, key):
            return play(state, key), None

        return jax.lax.scan(body, state, jax.random.split(key, num_steps))

    first = jax.tree.map(jnp.copy, devices.first_copy(task, state))
    seconds = timing.in_turns(
        {
            "playing": timing.carried(play_on, first, key),
            "training": timing.carried(train, state, None, devices.device_keys(key)),
        }
    )
    steps = num_envs * num_steps * steps_each
    return {
        "playing": (steps, seconds["playing"]),
        "training": (steps * jax.device_count(), seconds["training"]),
    }
