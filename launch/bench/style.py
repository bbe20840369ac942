"""An iteration of style transfer against PyTorch's, and its memory.

    python -m launch.bench style

Network, losses, optimiser and pictures are the same: SqueezeNet 1.0 with random
weights, Gram matrices of five layers, content of one layer, Adam. Memory is the peak of
a complete run on the CPU, from its start to its figures.
"""

import functools
import os
import subprocess
import tempfile
import types

import jax
import numpy as np

from dlx import tasks
from dlx.data import images
from dlx.runtime import devices

from .. import shipped
from . import pytorch, timing

SIZES = 256, 512
STEPS = 4
_MEMORY = (512, 0), (512, 256), (1024, 0), (1024, 256)  # sizes and tiles


def main() -> None:
    print(timing.machine())
    if jax.default_backend() == "cpu":
        print("peak memory, GiB")
        for size, tile in _MEMORY:
            tiles = f"tiles of {tile}" if tile else "one tile"
            print(f"{size}x{size} {tiles:18} {_peak(size, tile):.2f}")
    torch = pytorch.library()
    print("\nan iteration, milliseconds, median (range)")
    for size in SIZES:
        seconds = compare(size, torch)
        cell = functools.partial(timing.milliseconds, steps=STEPS)
        timing.show(f"{size}x{size}", seconds, cell)


def compare(size: int, torch: types.ModuleType | None) -> dict[str, list[float]]:
    """Times `STEPS` iterations on a square picture: {who: seconds}."""
    config = shipped.get_config("style")
    config.update({"size": size, "scales": 1, "weights": "random", "margin": 0})
    config.content = config.style = "skimage:astronaut"
    make = functools.partial(_pytorch, torch, config)
    calls = {"dlx": _dlx(config)} | pytorch.candidates(torch, make)
    return timing.in_turns(calls)


def _peak(size, tile):
    """The peak memory of a run of two steps, in GiB; at least this process's memory."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"size": size, "tile": tile, "scales": 1, "weights": "random"}
        lengths = "num_steps", "log_steps", "eval_steps", "checkpoint_steps"
        settings |= dict.fromkeys(lengths, 2)
        settings |= dict.fromkeys(("content", "style"), "skimage:astronaut")
        child = subprocess.Popen(
            [
                *(*shipped.program("main"), f"--config={shipped.CONFIGS}/style.py"),
                f"--workdir={folder}/run",
                *(f"--config.{name}={value}" for name, value in settings.items()),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = status
    if status:
        raise RuntimeError(f"the run at {size} pixels failed with status {status}")
    return used.ru_maxrss / 2**20


def _dlx(config):
    task = tasks.make(config)
    key = jax.random.key(0)
    state = devices.init(task, key)
    train = devices.train_steps(task, state, STEPS)
    source = task.batches.source(STEPS)
    return timing.carried(train, state, source, devices.device_keys(key))


def _pytorch(torch, config, compile):
    """The same optimisation in PyTorch, channels last."""
    extract = _extractor(torch)
    side = config.size
    photograph = images.resize(images.read(config.content), (side, side))
    photograph = torch.as_tensor(np.array(photograph)).permute(2, 0, 1)[None]
    photograph = photograph.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        features = extract(photograph)
        content = {name: features[name] for name in config.content_layers}
        style = {name: _gram(features[name]) for name in config.style_layers}
    picture = photograph.clone().requires_grad_()
    adam = torch.optim.Adam([picture], config.learning_rate, (0.9, 0.99), fused=True)
    weights = config.content_weight, config.style_weight, config.variation_weight

    @compile
    def loss_of(picture):
        features = extract(picture)
        content_loss = sum(
            _relative_error(features[name], target) for name, target in content.items()
        )
        style_loss = sum(
            _relative_error(_gram(features[name]), target)
            for name, target in style.items()
        )
        down = picture[:, :, 1:] - picture[:, :, :-1]
        across = picture[..., 1:] - picture[..., :-1]
        variation = down.square().mean() + across.square().mean()
        losses = content_loss, style_loss / len(style), variation
        return sum(w * loss for w, loss in zip(weights, losses, strict=True))

    def call():
        for _ in range(STEPS):
            pytorch.begin_step(torch)
            loss = loss_of(picture)
            adam.zero_grad()
            loss.backward()
            adam.step()
            with torch.no_grad():
                picture.clamp_(0, 1)
        return np.float32(loss.item())

    return call


def _extractor(torch):
    """Returns a function: picture [1, 3, height, width] -> {layer: features}."""
    mean = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    layers = _network(torch)
    for layer in layers:
        layer.requires_grad_(False)

    def extract(picture):
        x = 255 * picture.flip(1) - mean
        features = {}
        for name, layer in zip(_NAMES, layers, strict=True):
            x = layer(x)
            features[name] = x
        return features

    return extract


def _gram(features):
    """The Gram matrix of features [1, channels, height, width], per position."""
    flat = features.permute(0, 2, 3, 1).flatten(0, 2)
    return flat.T @ flat / len(flat)


def _relative_error(x, target):
    return (x - target).square().sum() / target.square().sum()


_NAMES = (
    "conv1", "pool1", "fire2", "fire3", "fire4", "pool4", "fire5", "fire6", "fire7",
    "fire8",
)  # fmt: skip


def _network(torch):
    """The layers of SqueezeNet 1.0 up to fire8."""
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
