"""A classifier's training step against PyTorch's, and the speed of its batches.

    python -m launch.bench classifiers

The network, the loss, the optimiser and the batch size are the same. The data is random
because speed does not depend on it.
"""

import functools
import statistics

import jax
import jax.numpy as jnp

from dlx.data import batches
from dlx.runtime import devices

from .. import shipped
from . import timing

_STEPS = 20
_BATCH = 128
_CASES = {"MNIST": ("cnn_mnist", (28, 28, 1)), "CIFAR-10": ("cnn_cifar10", (32, 32, 3))}


def main() -> None:
    print(timing.machine())
    torch = timing.torch()
    print(
        f"\na training step at batch {_BATCH}, milliseconds, median (range)\n{'':12}"
        f"{'dlx':28}{'PyTorch, channels last':28}dlx / PyTorch"
    )
    for name, (file, shape) in _CASES.items():
        config = shipped.get_config(file)
        # The PyTorch program does not augment either.
        config.flip, config.shift = "never", 0
        config.brightness = config.contrast = 0.0
        config.batch_size = _BATCH
        calls = {"dlx": timing.training(config, shape, _STEPS)}
        if torch:
            calls["PyTorch"] = _pytorch(torch, config, shape)
        seconds = timing.in_turns(calls)
        cells = {who: _milliseconds(times) for who, times in seconds.items()}
        medians = {who: statistics.median(times) for who, times in seconds.items()}
        ratio = f"{medians['dlx'] / medians['PyTorch']:.2f}" if torch else "-"
        print(
            f"{name:12}{cells['dlx']:28}{cells.get('PyTorch', '-'):28}{ratio}",
            flush=True,
        )
        _time_batches(config, shape, _BATCH * _STEPS / medians["dlx"])


def _milliseconds(seconds):
    low, middle, high = (
        1000 / _STEPS * f(seconds) for f in (min, statistics.median, max)
    )
    return f"{middle:.2f} ({low:.2f} ... {high:.2f})"


def _pytorch(torch, config, shape):
    """The same training in PyTorch, including its batches."""
    layers, optimizer = _NETWORKS[config.task](torch, config, shape)
    model = torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)
    optimizer = optimizer([p for p in model.parameters() if p.requires_grad])
    data = timing.images(shape)
    images = torch.as_tensor(data.images).permute(0, 3, 1, 2)
    labels = torch.as_tensor(data.labels).long()

    def call():
        for _ in range(_STEPS):
            index = torch.randint(len(labels), (config.batch_size,))
            batch = images[index].float().div(255).sub(0.5).div(0.29)
            batch = batch.contiguous(memory_format=torch.channels_last)
            loss = torch.nn.functional.cross_entropy(
                model(batch), labels[index], label_smoothing=config.label_smoothing
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return jnp.float32(loss.item())

    return call


def _classifier(torch, config, shape):
    """The network of `dlx.vision.networks`."""
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
    return layers, functools.partial(
        torch.optim.AdamW, lr=config.learning_rate, weight_decay=config.weight_decay
    )


def _airbench(torch, config, shape):
    """The network of `dlx.vision.airbench_network`."""
    nn = torch.nn
    channels = 2 * shape[-1] * config.patch**2
    whiten = nn.Conv2d(
        shape[-1],
        channels,
        config.patch,
        config.patch_stride,
        bias=config.whiten_bias_steps > 0,
    )
    whiten.weight.requires_grad_(False)
    layers = [whiten, nn.GELU()]
    for width in config.widths:
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False)]
        layers += [nn.MaxPool2d(2), nn.BatchNorm2d(width), nn.GELU()]
        layers += [nn.Conv2d(width, width, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.GELU()]
        channels = width
    layers += [nn.AdaptiveMaxPool2d(1), nn.Flatten()]
    layers += [nn.Linear(channels, 10, bias=False)]
    return layers, functools.partial(
        torch.optim.SGD, lr=1e-3, momentum=config.momentum, nesterov=True
    )


_NETWORKS = {"classifier": _classifier, "airbench": _airbench}


def _time_batches(config, shape, training_rate):
    """Prints the images per second of resident and streamed batches."""
    data = timing.images(shape)
    arrays = {"images": data.images, "labels": data.labels}
    resident = batches.Resident(arrays, config.batch_size, seeds=(0,))

    def read(source, step):
        def body(total, step):
            batch = resident.batch(source, step)
            return total + jnp.sum(batch["images"], dtype=jnp.uint32), None

        steps = step[0] + jnp.arange(_STEPS, dtype=jnp.int32)
        return jax.lax.scan(body, jnp.uint32(0), steps)[0]

    num_devices = jax.local_device_count()
    mapped = devices.over_devices(read, (None, 0), 0)
    first = devices.split(jnp.zeros((num_devices, 1), jnp.int32))
    calls = {
        "on the device": functools.partial(mapped, resident.source(_STEPS), first),
        "streamed": functools.partial(_streamed(data, config).source, _STEPS),
    }
    for kind, times in timing.in_turns(calls).items():
        rate = config.batch_size * _STEPS / statistics.median(times)
        print(
            f"{'':12}batches {kind}: {rate:.3g} images/s, {rate / training_rate:.1f} "
            "times the training's rate"
        )


def _streamed(data, config):
    class Examples:
        def __len__(self):
            return len(data.labels)

        def __getitem__(self, index):
            return {"images": data.images[index], "labels": data.labels[index]}

    return batches.Streamed(Examples(), config.batch_size, seeds=(0,))
