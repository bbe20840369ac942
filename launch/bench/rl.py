"""Agents on rocks, beside Stable-Baselines3 on the same game in one go.

    python -m launch.bench rl

Both are judged alike: the greedy policy from every start, with the clock stopped. What
dlx compiles goes into a cache of its own: the first seed finds it empty, the others
filled, as a second start of a program does.
"""

from collections.abc import Callable, Iterator
import dataclasses
import functools
import gc
import statistics
import tempfile
import time
from typing import Any

from flax import linen as nn
import gymnasium
import jax
from jax.experimental.compilation_cache import compilation_cache
import numpy as np

from configs import dqn_rocks8, dqn_rocks16, pg_rocks16
from dlx import tasks
from dlx.envs import adapters, rocks
from dlx.models import cnn
from dlx.runtime import devices
from launch.bench import progress, timing
from launch.bench.progress import LIMIT, SEEDS, Progress

# Settings for Stable-Baselines3, searched by hand until nothing tried was faster: about
# five others of each, 12 s long; one thread of PyTorch, which is faster here than two.
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
_OURS = {"DQN 8x8": dqn_rocks8, "DQN 16x16": dqn_rocks16, "PPO 16x16": pg_rocks16}


def main() -> None:
    try:
        import stable_baselines3
    except ImportError:
        print("no Stable-Baselines3 to compare with: pip install '.[bench]'")
        stable_baselines3 = None
    with tempfile.TemporaryDirectory() as cache:
        compilation_cache.set_cache_dir(cache)
        _compare(stable_baselines3 is not None)
        _convolutions()


def _compare(peer: bool):
    print(timing.machine())
    for name in _OURS:
        print(
            f"\n{name}, {SEEDS.value} seeds, at most {LIMIT.value:g} s each: seconds "
            "of training, median (range)"
        )
        print(f"{'':16}{'to 99 %':26}{'to perfect':26}compilation, cache empty, filled")
        ours = _row("dlx", functools.partial(_dlx, _OURS[name].get_config()))
        for kind in ("tuned", "defaults") if peer else ():
            theirs = _row(f"SB3, {kind}", functools.partial(_sb3, name, kind))
            _ratios(ours, theirs)


def _row(who: str, train: Callable[[int], Progress]) -> list[Progress]:
    done = []
    for seed in range(SEEDS.value):
        done.append(train(seed))
        gc.collect()
    cells = [progress.cell([run.until(share) for run in done]) for share in (0.99, 1.0)]
    compiled = ", ".join(f"{seconds:.1f}" for seconds in progress.compilations(done))
    compiled = compiled if done[0].compile_seconds else "-"
    print(f"{who:16}{cells[0]:26}{cells[1]:26}{compiled}", flush=True)
    return done


def _median(runs, share):
    """The median over the runs, those that never got there being the slowest."""
    times = [run.until(share) for run in runs]
    middle = sorted(np.inf if t is None else t for t in times)[len(times) // 2]
    return None if np.isinf(middle) else middle


def _ratios(ours, theirs):
    cold, warm = progress.compilations(ours)
    for share, name in ((0.99, "99 %"), (1.0, "perfect")):
        a, b = _median(ours, share), _median(theirs, share)
        if a is None:
            print(f"{'':4}{name}: dlx did not get there")
            continue
        more = "" if b is not None else "more than "
        b = LIMIT.value if b is None else b
        print(
            f"{'':4}{name}: {more}{b / a:.1f} times dlx; with compilation "
            f"{more}{b / (a + cold):.1f}, cache filled {more}{b / (a + warm):.1f}",
            flush=True,
        )


def _dlx(config, seed: int) -> Progress:
    """One of dlx's configs."""
    config.seed = seed
    return progress.train(config, config.log_steps, progress.perfect, 1.0)


def _sb3(name: str, kind: str, seed: int) -> Progress:
    """Stable-Baselines3's agent of that name."""
    import stable_baselines3
    from stable_baselines3.common.callbacks import BaseCallback
    import torch

    torch.set_num_threads(1)
    algorithm, size = name.split()
    game = rocks.Params(size=int(size.split("x")[0]))
    run = Progress()

    class Judge(BaseCallback):
        """Judges every 0.1 s of training, and ends it."""

        def _on_step(self):
            now = time.perf_counter()
            seconds = run.seconds + now - self.began
            last = run.points[-1][0] if run.points else 0.0
            if seconds - last < 0.1:
                return True
            run.seconds = seconds
            caught = _perfect_share(self.model.policy, game)
            run.points.append((seconds, caught))
            self.began = time.perf_counter()
            return caught < 1 and seconds < LIMIT.value

    if kind == "tuned":
        envs = _vec_env(game, _NUM_ENVS[name])
        network = {"net_arch": [128], "activation_fn": torch.nn.ReLU}
        settings = _TUNED[name] | {"policy_kwargs": network}
    else:
        envs, settings = gymnasium.make("dlx/Rocks-v0", size=game.size), {}
    with torch.random.fork_rng():
        model = getattr(stable_baselines3, algorithm)(
            "MlpPolicy", envs, seed=seed, device="cpu", **settings
        )
        judge = Judge()
        judge.began = time.perf_counter()
        # Its schedules need a length: what it would take to use the time up, roughly.
        model.learn(1_000_000, callback=judge)
    return run


def _perfect_share(policy, game: rocks.Params) -> float:
    """From how many of all starts the rock is caught, as `play.perfect_starts`."""
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
    """Each step's screens, and what plays the actions on and returns rewards."""
    kept = [state]

    def advance(actions):
        kept[0], rewards = _advance(kept[0], actions, game)
        return np.asarray(rewards)

    for _ in range(game.episode_steps):
        yield np.array(_render(kept[0], game)), advance


_render = jax.jit(rocks.render)


@jax.jit
def _advance(state, actions, game):
    # Nothing is drawn: no other rock appears.
    return rocks.step_env(jax.random.key(0), state, actions, game)[1:3]


def _vec_env(game: rocks.Params, num_envs: int) -> Any:
    """`RocksVectorEnv` as a vector environment of Stable-Baselines3."""
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


def _convolutions():
    """What writing convolutions as matrix products is worth in a training step."""
    config = dqn_rocks16.get_config()
    config.network = "cnn"
    calls, ours = {}, cnn.Conv
    for name, form in (("matrix product", ours), ("primitive", nn.Conv)):
        cnn.Conv = form
        task, key = tasks.make(config), jax.random.key(0)
        state = devices.init(task, key)
        train = devices.train_steps(task, state, 20)
        calls[name] = timing.carried(train, state, None, devices.device_keys(key))
        jax.block_until_ready(calls[name]())
    cnn.Conv = ours
    seconds = timing.in_turns(calls)
    print("\na training step of dqn_rocks16 with --config.network=cnn, milliseconds")
    for name, times in seconds.items():
        low, middle, high = (
            1000 * f(times) / 20 for f in (min, statistics.median, max)
        )
        print(f"convolution as {name:16}{middle:.2f} ({low:.2f} ... {high:.2f})")
