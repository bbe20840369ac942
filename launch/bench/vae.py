"""A variational autoencoder's training against PyTorch's.

    python -m launch.bench vae

The model, the loss, the optimiser and the batch size are the same. The data is random
because speed does not depend on it.
"""

import itertools
import statistics

import jax.numpy as jnp

from .. import shipped
from . import timing

_STEPS = 40
_SHAPE = (28, 28, 1)
_BATCHES = (20, 100, 250)


def main() -> None:
    print(timing.machine())
    torch = timing.torch()
    print(
        f"\ntraining examples a second, median (range)\n{'batch':>6}  {'dlx':32}"
        f"{'PyTorch':32}dlx / PyTorch"
    )
    for batch_size in _BATCHES:
        config = shipped.get_config("vae_mnist", "paper")
        config.batch_size = batch_size
        calls = {"dlx": timing.training(config, _SHAPE, _STEPS)}
        if torch:
            calls["PyTorch"] = _pytorch(torch, config)
        seconds = timing.in_turns(calls)
        examples = _STEPS * batch_size
        cells = {who: timing.rate(examples, times) for who, times in seconds.items()}
        medians = {who: statistics.median(times) for who, times in seconds.items()}
        ratio = f"{medians['PyTorch'] / medians['dlx']:.2f}" if torch else "-"
        print(
            f"{batch_size:6}  {cells['dlx']:32}{cells.get('PyTorch', '-'):32}{ratio}",
            flush=True,
        )


def _pytorch(torch, config):
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
        parameters, config.learning_rate, eps=config.adam_epsilon
    )
    images = torch.as_tensor(timing.images(_SHAPE).images).flatten(1)

    def call():
        for _ in range(_STEPS):
            index = torch.randint(len(images), (config.batch_size,))
            x = torch.bernoulli(images[index].float() / 255)
            mean, log_std = encoder(x).chunk(2, dim=1)
            z = mean + log_std.exp() * torch.randn_like(mean)
            misfit = nn.functional.binary_cross_entropy_with_logits(
                decoder(z), x, reduction="sum"
            )
            kl = 0.5 * (mean**2 + (2 * log_std).exp() - 1 - 2 * log_std).sum()
            loss = (misfit + kl) / config.batch_size
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return jnp.float32(loss.item())

    return call
