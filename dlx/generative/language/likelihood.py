"""Likelihood of lines of text."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dlx.data import corpora
from dlx.generative.language.networks import Recurrent

_BATCH = 500  # lines that are read at once


def surprise(network: Recurrent, params, lines: jax.Array) -> jax.Array:
    """Negative log-likelihood of lines.

    Args:
      network: The network.
      params: Its parameters.
      lines: [batch, length, 1, characters] float32, one-hot.

    Returns:
      [batch] float32, in nats.
    """
    logits = network.apply({"params": params}, lines, method="logits")
    losses = optax.softmax_cross_entropy(logits, lines[:, :, 0])
    return jnp.sum(losses, axis=1)


def make_bits(config, modality, network: Recurrent):
    """Returns a function from params to bits per character of held-out lines.

    At most `config.last_eval_samples` evenly spaced lines are read. The end of a line
    that is shorter than the others counts as a character.
    """
    lines = corpora.spaced(modality.held_out, config.last_eval_samples)
    codes = corpora.encode(lines)
    ends = [min(len(line.rstrip()) + 1, len(line)) for line in lines]
    total = jax.jit(
        lambda params, codes: jnp.sum(
            surprise(network, params, modality.to_network({"codes": codes}))
        )
    )

    def bits(params):
        parts = np.split(codes, range(_BATCH, len(codes), _BATCH))
        nats = sum(float(total(params, part)) for part in parts)
        return nats / math.log(2) / sum(ends)

    return bits
