"""A DCGAN's training against PyTorch's.

    python -m launch.bench gan

The networks, the losses, the optimisers and the batch size are the same. The data is
random because speed does not depend on it.
"""

import functools
import types

import jax.numpy as jnp

from dlx.generative.gan.losses import LOSSES

from .. import shipped
from . import pytorch, timing

STEPS = 10
_SHAPE = (28, 28, 1)


def main() -> None:
    print(timing.machine())
    seconds = compare(pytorch.library())
    print(
        "\na step, which updates generator and discriminator, milliseconds, "
        "median (range)"
    )
    cell = functools.partial(timing.milliseconds, steps=STEPS)
    timing.show("DCGAN", seconds, cell)


def compare(torch: types.ModuleType | None) -> dict[str, list[float]]:
    """Times `STEPS` training steps: {who: seconds}."""
    config = shipped.get_config("dcgan_mnist")
    config.reference_classifier = False
    calls = {"dlx": timing.training(config, _SHAPE, STEPS)}
    make = functools.partial(_pytorch, torch, config)
    return timing.in_turns(calls | pytorch.candidates(torch, make))


def _pytorch(torch, config, compile):
    """The same training in PyTorch, including its batches."""
    generator, discriminator = _generator(torch, config), _discriminator(torch, config)

    def adam(network, rate):
        betas = config.adam_b1, config.adam_b2
        return torch.optim.Adam(network.parameters(), rate, betas, fused=True)

    g_adam = adam(generator, config.g_learning_rate)
    d_adam = adam(discriminator, config.d_learning_rate)
    images = torch.as_tensor(timing.images(_SHAPE).images).permute(0, 3, 1, 2)
    softplus = torch.nn.functional.softplus
    assert config.loss == "relativistic" and config.loss in LOSSES

    def judged(x):
        """The logits of images, and half of their gradients' mean squared norm."""

        def total(x):
            logits = discriminator(x)
            return logits.sum(), logits

        grads, (_, logits) = torch.func.grad_and_value(total, has_aux=True)(x)
        return logits, 0.5 * grads.square().sum() / len(x)

    @compile
    def d_loss_of(batch, latents):
        real = batch.float().div(127.5).sub(1)
        on_real, r1 = judged(real)
        on_fake, r2 = judged(generator(latents).detach())
        loss = softplus(on_fake - on_real).mean()
        return loss + config.r1 * r1 + config.r2 * r2

    @compile
    def g_loss_of(batch, latents):
        on_real = discriminator(batch.float().div(127.5).sub(1)).detach()
        return softplus(on_real - discriminator(generator(latents))).mean()

    def call():
        for _ in range(STEPS):
            pytorch.begin_step(torch)
            index = torch.randint(len(images), (config.batch_size,))
            batch = images[index]
            for adam_of, loss_of in ((d_adam, d_loss_of), (g_adam, g_loss_of)):
                latents = torch.randn(config.batch_size, config.latents)
                loss = loss_of(batch, latents)
                adam_of.zero_grad()
                loss.backward()
                adam_of.step()
        return jnp.float32(loss.item())

    return call


def _generator(torch, config):
    """The generator of `dlx.generative.gan.networks`."""
    nn = torch.nn
    channels, side = config.g_channels[0], _SHAPE[0] >> len(config.g_channels)
    layers = [
        nn.Linear(config.latents, side * side * channels, bias=False),
        nn.Unflatten(1, (channels, side, side)),
    ]
    for width in (*config.g_channels[1:], _SHAPE[-1]):
        layers += [nn.BatchNorm2d(channels), nn.ReLU()]
        layers += [nn.Conv2d(channels, 4 * width, 3, padding=1), nn.PixelShuffle(2)]
        channels = width
    network = nn.Sequential(*layers, nn.Tanh())
    return network.to(memory_format=torch.channels_last)


def _discriminator(torch, config):
    """One discriminator of `dlx.generative.gan.networks`."""
    nn = torch.nn
    assert config.d_norm == "none" and len(config.d_channels) == 1
    assert not config.d_features
    layers, channels, side = [], _SHAPE[-1], _SHAPE[0]
    for width in config.d_channels[0]:
        padding = [(side - 1) // 2 for side in config.d_kernel]
        layers += [nn.Conv2d(channels, width, config.d_kernel, 2, padding)]
        layers += [nn.LeakyReLU(0.2)]
        channels, side = width, side // 2
    layers += [nn.Flatten(), nn.Linear(channels * side * side, 1), nn.Flatten(0)]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)
