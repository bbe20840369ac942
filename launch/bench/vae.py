"""A variational autoencoder's training against PyTorch's.

    python -m launch.bench vae

The model, the loss, the optimiser and the batch size are the same. The data is random
because speed does not depend on it.
"""

import functools
import itertools
import types

import jax.numpy as jnp

from .. import shipped
from . import pytorch, timing

STEPS = 40
_SHAPE = (28, 28, 1)
_BATCHES = (20, 100, 250)


def main() -> None:
    print(timing.machine())
    torch = pytorch.library()
    print("\ntraining examples a second, median (range); the ratio is one of times")
    for batch_size in _BATCHES:
        seconds = compare(batch_size, torch)
        cell = functools.partial(timing.rate, STEPS * batch_size)
        timing.show(f"batch {batch_size}", seconds, cell)


def compare(batch_size: int, torch: types.ModuleType | None) -> dict[str, list[float]]:
    """Times `STEPS` training steps: {who: seconds}."""
    config = shipped.get_config("vae_mnist", "paper")
    config.batch_size = batch_size
    calls = {"dlx": timing.training(config, _SHAPE, STEPS)}
    make = functools.partial(_pytorch, torch, config)
    return timing.in_turns(calls | pytorch.candidates(torch, make))


def _pytorch(torch, config, compile):
    """The same training in PyTorch, including its batches."""
    nn = torch.nn

    def mlp(*widths):
        layers = []
        for inputs, outputs in itertools.pairwise(widths[:-1]):
            layers += [nn.Linear(inputs, outputs), nn.Tanh()]
        return nn.Sequential(*layers, nn.Linear(*widths[-2:]))

    pixels, latents = 784, config.latents
    encoder = mlp(pixels, *config.features, 2 * latents)
    decoder = mlp(latents, *config.features[::-1], pixels)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(
        parameters, config.learning_rate, eps=config.adam_epsilon, fused=True
    )
    images = torch.as_tensor(timing.images(_SHAPE).images).flatten(1)

    @compile
    def loss_of(batch):
        x = torch.bernoulli(batch.float() / 255)
        mean, log_std = encoder(x).chunk(2, dim=1)
        z = mean + log_std.exp() * torch.randn_like(mean)
        misfit = nn.functional.binary_cross_entropy_with_logits(
            decoder(z), x, reduction="sum"
        )
        kl = 0.5 * (mean**2 + (2 * log_std).exp() - 1 - 2 * log_std).sum()
        return (misfit + kl) / config.batch_size

    def call():
        for _ in range(STEPS):
            pytorch.begin_step(torch)
            index = torch.randint(len(images), (config.batch_size,))
            loss = loss_of(images[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return jnp.float32(loss.item())

    return call
