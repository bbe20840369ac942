"""A classifier's training step beside PyTorch's, and how fast its batches are made.

    python -m launch.bench classifiers

The network, the loss, the optimiser and the batch are the same; data is at random, for
speed does not depend on it.
"""

import functools
import statistics

import jax
import jax.numpy as jnp
import numpy as np

from configs import cnn_cifar10, cnn_mnist
from dlx import parallel, tasks
from dlx.data import batches, sources
from launch.bench import timing

_STEPS = 20
_CASES = {"MNIST": (cnn_mnist, (28, 28, 1)), "CIFAR-10": (cnn_cifar10, (32, 32, 3))}


def main() -> None:
    print(timing.machine())
    torch = _torch()
    print(
        f"\na training step at batch 128, milliseconds, median (range)\n{'':12}"
        f"{'dlx':28}{'PyTorch, channels last':28}dlx / PyTorch"
    )
    for name, (module, shape) in _CASES.items():
        config = module.get_config()
        # PyTorch is not asked to do these either.
        config.flip, config.shift = "never", 0
        config.brightness = config.contrast = 0.0
        calls = {"dlx": _ours(config, shape)}
        if torch:
            calls["PyTorch"] = _theirs(torch, config, shape)
        seconds = timing.in_turns(calls)
        cells = {who: _milliseconds(times) for who, times in seconds.items()}
        medians = {who: statistics.median(times) for who, times in seconds.items()}
        ratio = f"{medians['dlx'] / medians['PyTorch']:.2f}" if torch else "-"
        print(
            f"{name:12}{cells['dlx']:28}{cells.get('PyTorch', '-'):28}{ratio}",
            flush=True,
        )
        _input(name, config, shape, 128 * _STEPS / medians["dlx"])


def _torch():
    try:
        import torch
    except ImportError:
        print("no PyTorch to compare with: pip install '.[bench]'")
        return None
    return torch


def _milliseconds(seconds):
    low, middle, high = (
        1000 / _STEPS * f(seconds) for f in (min, statistics.median, max)
    )
    return f"{middle:.2f} ({low:.2f} ... {high:.2f})"


def _random(shape, number=4096):
    generator = np.random.default_rng(0)
    images = generator.integers(256, size=(number, *shape), dtype=np.uint8)
    labels = generator.integers(10, size=number, dtype=np.int32)
    return sources.Images(images, labels, [str(n) for n in range(10)])


def _ours(config, shape):
    """A call that trains `_STEPS` steps as the loop does, batches included."""
    load = sources.load
    sources.load = lambda *_: _random(shape)
    try:
        task = tasks.make(config)
    finally:
        sources.load = load
    key = jax.random.key(0)
    state = parallel.init(task, key)
    train = parallel.train_steps(task, state, _STEPS)
    source = task.batches.source(_STEPS)
    return timing.carried(train, state, source, parallel.device_keys(key))


def _theirs(torch, config, shape):
    """The same in PyTorch: the network of `dlx.models.classifiers`, AdamW, batches."""
    nn = torch.nn
    layers, channels, side = [], shape[-1], shape[0]
    for width in config.channels:
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
        layers += [nn.MaxPool2d(2), nn.BatchNorm2d(width), nn.ReLU()]
        channels, side = width, side // 2
    layers += [nn.Flatten()]
    inputs = channels * side * side
    for width in config.features:
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    layers += [nn.Dropout(config.dropout), nn.Linear(inputs, 10)]
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(
        model.parameters(), config.learning_rate, weight_decay=config.weight_decay
    )
    data = _random(shape)
    images = torch.as_tensor(data.images).permute(0, 3, 1, 2)
    labels = torch.as_tensor(data.labels).long()

    def call():
        for _ in range(_STEPS):
            index = torch.randint(len(labels), (config.batch_size,))
            batch = images[index].float().div(255).sub(0.5).div(0.29)
            batch = batch.contiguous(memory_format=torch.channels_last)
            loss = nn.functional.cross_entropy(model(batch), labels[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return jnp.float32(loss.item())

    return call


def _input(name, config, shape, training_rate):
    """Images a second that come out of either kind of batches."""
    data = _random(shape)
    arrays = {"images": data.images, "labels": data.labels}
    resident = batches.Resident(arrays, config.batch_size, seed=0)

    def read(source, step):
        def body(total, step):
            batch = resident.batch(source, step)
            return total + jnp.sum(batch["images"], dtype=jnp.uint32), None

        steps = step[0] + jnp.arange(_STEPS, dtype=jnp.int32)
        return jax.lax.scan(body, jnp.uint32(0), steps)[0]

    devices = jax.local_device_count()
    mapped = jax.pmap(read, parallel.AXIS, in_axes=(None, 0))
    first = jnp.zeros((devices, 1), jnp.int32)
    calls = {
        "on the device": functools.partial(mapped, resident.source(_STEPS), first),
        "streamed": functools.partial(_streamed(data, config).source, _STEPS),
    }
    for kind, times in timing.in_turns(calls).items():
        made = config.batch_size * _STEPS / statistics.median(times)
        print(
            f"{'':12}batches {kind}: {made:.3g} images/s, {made / training_rate:.1f} "
            "times what training takes"
        )


def _streamed(data, config):
    class Examples:
        def __len__(self):
            return len(data.labels)

        def __getitem__(self, index):
            return {"images": data.images[index], "labels": data.labels[index]}

    return batches.Streamed(Examples(), config.batch_size, seed=0)
