"""A language model of characters by maximum likelihood (Graves 2013, section 3).

A recurrent network predicts each character of a line from those before it. Samples are
drawn from the predictions, and measured like a GAN's.
"""

import dataclasses
import math

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import optax

from dlx import fields, gradients, optimizers, paths
from dlx.errors import UserError
from dlx.generative import modalities, sampling
from dlx.generative.language.likelihood import make_bits, surprise
from dlx.generative.language.networks import Recurrent
from dlx.runtime import devices, restore
from dlx.runtime.task import Abilities, Task

FIELDS = (
    modalities.FIELDS
    | sampling.FIELDS
    | optimizers.FIELDS
    | {
        "accumulate": fields.integer(),
        "modality": fields.choice("texts"),
        "validation": fields.integer(1),
        "widths": fields.row(fields.integer(), 1),
        "warmup_steps": fields.integer(0),
    }
)


@struct.dataclass
class State:
    """The state of training.

    Attributes:
      step: [] int32. The number of steps trained.
      params: The network's parameters.
      opt_state: The optimiser's state.
    """

    step: jax.Array
    params: chex.ArrayTree
    opt_state: chex.ArrayTree


def make_sampler(modality, network: Recurrent) -> sampling.Sampler:
    """Returns a sampler whose latent vectors are the noise of the characters."""

    @jax.jit
    def generate(params, z, labels):
        return network.apply({"params": params}, z, labels, train=False)

    return sampling.Sampler(
        modality,
        lambda state, z, labels, key: generate(state.params, z, labels),
        math.prod(modality.shape),
    )


def make_network(config, modality) -> Recurrent:
    """Makes the network of a config for the lines of a modality."""
    return Recurrent(modality.shape, tuple(config.widths))


def sampler(config) -> sampling.Sampler:
    """Returns the sampler of a run. Raises UserError if its data are missing."""
    modality = modalities.load(config)
    return make_sampler(modality, make_network(config, modality))


def make(config) -> Task:
    """Builds the task of a config like that of configs/lm_text.py.

    Raises:
      UserError: if the config is invalid or the data are missing.
    """
    modality = modalities.load(config)
    network = make_network(config, modality)
    bits = make_bits(config, modality, network)
    tx = optimizers.make(
        config.optimizer,
        config.num_steps,
        learning_rate=config.learning_rate,
        schedule="cosine",
        warmup_updates=config.warmup_steps,
    )

    def init(key):
        line = jnp.zeros((1, *modality.shape))
        params = network.init(key, line, method="logits")["params"]
        return State(jnp.int32(0), params, tx.init(params))

    def loss(params, lines, key):
        del key
        return jnp.mean(surprise(network, params, lines)), {}

    gradient = gradients.value_and_grad(loss, devices.micro_batches(config))

    def step(state, batch, key):
        (value, _), grads = gradient(state.params, modality.to_network(batch), key)
        grads = lax.pmean(grads, devices.AXIS)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        numbers = {
            "loss": value,
            "l2_grads": optax.tree.norm(grads),
            "l2_params": optax.tree.norm(params),
        }
        return State(state.step + 1, params, opt_state), numbers

    counts = {"examples": config.batch_size}
    samples = make_sampler(modality, network)
    task = sampling.task(config, samples, init=init, step=step, counts=counts)

    def evaluate(state, key):
        number = jnp.float32(bits(state.params))
        named = {"bits_per_character": number, "minus_bits_per_character": -number}
        return named | task.evaluate(state, key)

    metric = "minus_bits_per_character"
    return dataclasses.replace(task, evaluate=evaluate, metric=metric)


def trained(workdir: str):
    """Returns the parameters of a trained run, {layer: ...} of arrays.

    Raises:
      UserError: if the folder holds no checkpoint of a language model.
    """

    def make_language(config):
        if config.get("task") != "language":
            raise UserError(f"{workdir} holds no language model, but {config.task!r}")
        return make(config)

    state = restore.load(paths.path(workdir), make_language).state
    return jax.tree.map(np.asarray, state.params)


abilities = Abilities(sample=sampler)
