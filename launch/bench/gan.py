"""A DCGAN's training against PyTorch's.

    python -m launch.bench gan

The networks, the losses, the optimisers and the batch size are the same. The data is
random because speed does not depend on it.
"""

import statistics

import jax.numpy as jnp

from dlx.generative.gan.losses import LOSSES

from .. import shipped
from . import timing

_STEPS = 10
_SHAPE = (28, 28, 1)


def main() -> None:
    print(timing.machine())
    torch = timing.torch()
    config = shipped.get_config("dcgan_mnist")
    config.reference_classifier = False
    calls = {"dlx": timing.training(config, _SHAPE, _STEPS)}
    if torch:
        calls["PyTorch"] = _pytorch(torch, config)
    seconds = timing.in_turns(calls)
    print(
        f"\nsteps per second at batch {config.batch_size}, each an update of generator "
        "and discriminator, median (range)"
    )
    for who, times in seconds.items():
        print(f"{who:10}{timing.rate(_STEPS, times)}")
    if torch:
        medians = {who: statistics.median(times) for who, times in seconds.items()}
        print(f"dlx / PyTorch {medians['PyTorch'] / medians['dlx']:.2f}")


def _pytorch(torch, config):
    """The same training in PyTorch, including its batches."""
    generator, discriminator = _generator(torch, config), _discriminator(torch, config)

    def adam(network, rate):
        betas = config.adam_b1, config.adam_b2
        return torch.optim.Adam(network.parameters(), rate, betas)

    g_adam = adam(generator, config.g_learning_rate)
    d_adam = adam(discriminator, config.d_learning_rate)
    images = torch.as_tensor(timing.images(_SHAPE).images).permute(0, 3, 1, 2)
    softplus = torch.nn.functional.softplus
    assert config.loss == "relativistic" and config.loss in LOSSES

    def fakes():
        return generator(torch.randn(config.batch_size, config.latents))

    def penalty(logits, x):
        (grads,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
        return 0.5 * grads.square().sum() / len(x)

    def call():
        for _ in range(_STEPS):
            index = torch.randint(len(images), (config.batch_size,))
            real = images[index].float().div(127.5).sub(1).requires_grad_()
            fake = fakes().detach().requires_grad_()
            on_real, on_fake = discriminator(real), discriminator(fake)
            loss = softplus(on_fake - on_real).mean()
            loss = loss + config.r1 * penalty(on_real, real)
            loss = loss + config.r2 * penalty(on_fake, fake)
            d_adam.zero_grad()
            loss.backward()
            d_adam.step()
            on_real = discriminator(real.detach()).detach()
            loss = softplus(on_real - discriminator(fakes())).mean()
            g_adam.zero_grad()
            loss.backward()
            g_adam.step()
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
