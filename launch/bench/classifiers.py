"""A classifier's training step against PyTorch's, and the speed of its batches.

    python -m launch.bench classifiers

The network, the loss, the optimiser and the batch size are the same. PyTorch has its
channels last. The data is random because speed does not depend on it.
"""

import functools
import statistics
import types

import jax
import jax.numpy as jnp

from dlx.data import batches
from dlx.runtime import devices

from .. import shipped
from . import pytorch, timing

STEPS = 20
BATCH = 128
CASES = {"MNIST": ("cnn_mnist", (28, 28, 1)), "CIFAR-10": ("cnn_cifar10", (32, 32, 3))}


def main() -> None:
    print(timing.machine())
    torch = pytorch.library()
    print(f"\na training step at batch {BATCH}, milliseconds, median (range)")
    for name in CASES:
        seconds = compare(name, torch)
        timing.show(name, seconds, functools.partial(timing.milliseconds, steps=STEPS))
        training_rate = BATCH * STEPS / statistics.median(seconds["dlx"])
        for kind, rate in batches_rates(name).items():
            print(
                f"{'':14}batches {kind}: {rate:.3g} images/s, "
                f"{training_rate / rate:.1%} of a training step's time"
            )


def compare(name: str, torch: types.ModuleType | None) -> dict[str, list[float]]:
    """Times `STEPS` training steps of a key of `CASES`: {who: seconds}."""
    config, shape = _case(name)
    calls = {"dlx": timing.training(config, shape, STEPS)}
    make = functools.partial(_pytorch, torch, config, shape)
    return timing.in_turns(calls | pytorch.candidates(torch, make))


def _case(name):
    file, shape = CASES[name]
    config = shipped.get_config(file)
    # The PyTorch program does not augment either.
    config.flip, config.shift = "never", 0
    config.brightness = config.contrast = 0.0
    config.batch_size = BATCH
    return config, shape


def _pytorch(torch, config, shape, compile):
    """The same training in PyTorch, including its batches."""
    layers, optimizer = _NETWORKS[config.task](torch, config, shape)
    model = torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = optimizer(parameters, fused=True)
    data = timing.images(shape)
    images = torch.as_tensor(data.images).permute(0, 3, 1, 2)
    labels = torch.as_tensor(data.labels).long()

    @compile
    def loss_of(batch, labels):
        batch = batch.float().div(255).sub(0.5).div(0.29)
        logits = model(batch.contiguous(memory_format=torch.channels_last))
        return torch.nn.functional.cross_entropy(
            logits, labels, label_smoothing=config.label_smoothing
        )

    def call():
        for _ in range(STEPS):
            pytorch.begin_step(torch)
            index = torch.randint(len(labels), (config.batch_size,))
            loss = loss_of(images[index], labels[index])
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


_READ = 4  # calls of a stream


def batches_rates(name: str) -> dict[str, float]:
    """Images per second of batches alone: {'on the device', 'streamed': rate}."""
    config, shape = _case(name)
    data = timing.images(shape)
    arrays = {"images": data.images, "labels": data.labels}
    resident = batches.Resident(arrays, config.batch_size, seeds=(0,))

    def stream():
        """Reads anew, so that nothing is read before the clock starts."""
        streamed = batches.Streamed(arrays, config.batch_size, seeds=(0,))
        return [streamed.source(STEPS) for _ in range(_READ)]

    def read(source, step):
        def body(total, step):
            batch = resident.batch(source, step)
            return total + jnp.sum(batch["images"], dtype=jnp.uint32), None

        steps = step[0] + jnp.arange(STEPS, dtype=jnp.int32)
        return jax.lax.scan(body, jnp.uint32(0), steps)[0]

    num_devices = jax.local_device_count()
    mapped = devices.over_devices(read, (None, 0), 0)
    first = devices.split(jnp.zeros((num_devices, 1), jnp.int32))
    calls = {
        "on the device": functools.partial(mapped, resident.source(STEPS), first),
        "streamed": stream,
    }
    number = {"on the device": STEPS, "streamed": _READ * STEPS}
    return {
        kind: number[kind] * config.batch_size / statistics.median(times)
        for kind, times in timing.in_turns(calls).items()
    }
