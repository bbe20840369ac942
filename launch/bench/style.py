"""An iteration of style transfer beside PyTorch's, and the memory that it takes.

    python -m launch.bench style

The network, its random weights, the losses, the optimiser and the pictures are the
same: SqueezeNet 1.0, Gram matrices of five layers, content of one, Adam. Memory is the
most that a whole run, from its start to its figures, ever holds, on the CPU.
"""

import functools
import os
import statistics
import subprocess
import sys
import tempfile

import jax
import numpy as np

from configs import style as configs_style
from dlx import tasks
from dlx.data import images
from dlx.runtime import devices
from launch.bench import timing

_SIZES = 256, 512
_STEPS = 4
_MEMORY = (512, 0), (512, 256), (1024, 0), (1024, 256)  # sizes and tiles


def main() -> None:
    print(timing.machine())
    if jax.default_backend() == "cpu":
        print("GiB at most")
        for size, tile in _MEMORY:
            how = f"in tiles of {tile}" if tile else "as a whole"
            print(f"{size}x{size} {how:18} {_peak(size, tile):.2f}")
    torch = timing.torch()
    print(f"\nmilliseconds an iteration, median (range){'':14}dlx / PyTorch")
    for size in _SIZES:
        config = configs_style.get_config()
        config.update({"size": size, "scales": 1, "weights": "random", "margin": 0})
        config.content = config.style = "skimage:astronaut"  # which is square
        calls = {"dlx": _ours(config)}
        if torch:
            calls["PyTorch"] = _theirs(torch, config)
        seconds = timing.in_turns(calls)
        for who, times in seconds.items():
            each = [1000 * time / _STEPS for time in times]
            said = f"{statistics.median(each):.3g} ({each[0]:.3g} ... {each[-1]:.3g})"
            print(f"{size}x{size} {who:10}{said:>24}", end="")
            ratio = statistics.median(times) / statistics.median(seconds["dlx"])
            print(f"{1 / ratio:20.2f}" if who == "PyTorch" else "")


def _peak(size, tile):
    """Of a run of its own, two steps long, in GiB; no less than this process has."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"size": size, "tile": tile, "scales": 1, "weights": "random"}
        lengths = "num_steps", "log_steps", "eval_steps", "checkpoint_steps"
        settings |= dict.fromkeys(lengths, 2)
        settings |= dict.fromkeys(("content", "style"), "skimage:astronaut")
        child = subprocess.Popen(
            [
                *(sys.executable, "-m", "launch.main", "--config=configs/style.py"),
                f"--workdir={folder}/run",
                *(f"--config.{name}={value}" for name, value in settings.items()),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = status
    if status:
        raise RuntimeError(f"a run at {size} pixels ended with {status}")
    return used.ru_maxrss / 2**20


def _ours(config):
    task = tasks.make(config)
    key = jax.random.key(0)
    state = devices.init(task, key)
    train = devices.train_steps(task, state, _STEPS)
    source = task.batches.source(_STEPS)
    return timing.carried(train, state, source, devices.device_keys(key))


def _theirs(torch, config):
    """The same in PyTorch, channels last."""
    layers = _network(torch)
    for layer in layers:
        layer.requires_grad_(False)

    def look(picture):
        x = 255 * picture.flip(1) - torch.tensor([103.939, 116.779, 123.68]).view(
            1, 3, 1, 1
        )
        found = {}
        for name, layer in zip(_NAMES, layers, strict=True):
            x = layer(x)
            found[name] = x
        return found

    def gram(features):
        flat = features.permute(0, 2, 3, 1).flatten(0, 2)
        return flat.T @ flat / len(flat)

    side = config.size
    photograph = images.resize(images.read(config.content), (side, side))
    photograph = torch.as_tensor(np.array(photograph)).permute(2, 0, 1)[None]
    photograph = photograph.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        found = look(photograph)
        content = {name: found[name] for name in config.content_layers}
        style = {name: gram(found[name]) for name in config.style_layers}
    picture = photograph.clone().requires_grad_()
    adam = torch.optim.Adam([picture], config.learning_rate, (0.9, 0.99))

    def call():
        for _ in range(_STEPS):
            found = look(picture)
            loss = config.content_weight * sum(
                (found[name] - wanted).square().sum() / wanted.square().sum()
                for name, wanted in content.items()
            )
            far = sum(
                (gram(found[name]) - wanted).square().sum() / wanted.square().sum()
                for name, wanted in style.items()
            )
            loss = loss + config.style_weight * far / len(style)
            down = picture[:, :, 1:] - picture[:, :, :-1]
            across = picture[..., 1:] - picture[..., :-1]
            variation = down.square().mean() + across.square().mean()
            loss = loss + config.variation_weight * variation
            adam.zero_grad()
            loss.backward()
            adam.step()
            with torch.no_grad():
                picture.clamp_(0, 1)
        return np.float32(loss.item())

    return call


_NAMES = (
    "conv1", "pool1", "fire2", "fire3", "fire4", "pool4", "fire5", "fire6", "fire7",
    "fire8",
)  # fmt: skip


def _network(torch):
    """SqueezeNet 1.0's layers as far as fire8."""
    nn = torch.nn

    class Fire(nn.Module):
        def __init__(self, channels, squeezed, expanded):
            super().__init__()
            self.squeeze = nn.Conv2d(channels, squeezed, 1)
            self.small = nn.Conv2d(squeezed, expanded, 1)
            self.large = nn.Conv2d(squeezed, expanded, 3, padding=1)

        def forward(self, x):
            x = self.squeeze(x).relu()
            return torch.cat([self.small(x).relu(), self.large(x).relu()], 1)

    pool = functools.partial(nn.MaxPool2d, 3, 2, ceil_mode=True)
    layers = [
        nn.Sequential(nn.Conv2d(3, 96, 7, 2), nn.ReLU()), pool(), Fire(96, 16, 64),
        Fire(128, 16, 64), Fire(128, 32, 128), pool(), Fire(256, 32, 128),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256),
    ]  # fmt: skip
    return [layer.to(memory_format=torch.channels_last) for layer in layers]
