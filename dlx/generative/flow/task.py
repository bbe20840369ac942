"""Flow matching (Lipman et al. 2023; Liu et al. 2023).

A network learns the velocity of straight paths from noise to data. Samples are noise
that follows the velocities from time 0 to time 1.
"""

import math

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import fields, gradients, optimizers
from dlx.generative import modalities, sampling
from dlx.generative.flow import networks, paths
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task

FIELDS = (
    modalities.FIELDS
    | sampling.FIELDS
    | networks.FIELDS
    | optimizers.FIELDS
    | {
        "accumulate": fields.integer(),
        "conditional": fields.flag(),
        "label_dropout": fields.real(0, 1),
        "guidance": fields.real(0),
        "solver": fields.choice(*paths.SOLVERS),
        "solver_steps": fields.integer(1, 1000),
        "warmup_steps": fields.integer(0),
        "ema_decay": fields.real(0, below=1),
    }
)


@struct.dataclass
class State:
    """The state of training.

    Attributes:
      step: [] int32. The number of steps trained.
      params: The network's parameters.
      opt_state: The optimiser's state.
      average: Moving average of the parameters, from which samples are drawn.
    """

    step: jax.Array
    params: chex.ArrayTree
    opt_state: chex.ArrayTree
    average: chex.ArrayTree


def make_sampler(config, modality, network: networks.UNet) -> sampling.Sampler:
    """Returns a sampler whose latent vectors are the noise."""

    @jax.jit
    def path(average, z, labels):
        def at(x, time, labels):
            return network.apply({"params": average}, x, time, labels, train=False)

        def velocity(x, time):
            if not config.conditional or config.guidance == 1:
                return at(x, time, labels)
            none = jnp.full_like(labels, network.num_classes)
            velocities = at(x, time, labels), at(x, time, none)
            return paths.guided(*velocities, config.guidance)

        noise = z.reshape(-1, *modality.shape)
        return paths.solve(velocity, noise, config.solver, config.solver_steps)

    def forming(state, z, labels, key):
        del key
        return jnp.clip(path(state.average, z, labels), -1, 1)

    return sampling.Sampler(
        modality,
        lambda *inputs: forming(*inputs)[-1],
        math.prod(modality.shape),
        forming,
        conditional=config.conditional,
    )


def sampler(config) -> sampling.Sampler:
    """Returns the sampler of a run. Raises UserError if its data are missing."""
    modality = modalities.load(config)
    return make_sampler(config, modality, networks.make(config, modality))


def make(config) -> Task:
    """Builds the task of a config like that of configs/flow_digits.py.

    Raises:
      UserError: if the config is invalid or the data are missing.
    """
    modality = modalities.load(config)
    network = networks.make(config, modality)
    loss, draw = paths.make_loss(config, network)
    gradient = gradients.value_and_grad(loss, devices.micro_batches(config))
    tx = optimizers.make(
        config.optimizer,
        config.num_steps,
        learning_rate=config.learning_rate,
        schedule="cosine",
        warmup_updates=config.warmup_steps,
    )

    def init(key):
        params = networks.init(network, key, modality.shape)
        average = jax.tree.map(jnp.copy, params)
        return State(jnp.int32(0), params, tx.init(params), average)

    def step(state, batch, key):
        draw_key, dropout_key = jax.random.split(key)
        inputs = draw(draw_key, modality.to_network(batch), batch["labels"])
        (value, _), grads = gradient(state.params, inputs, dropout_key)
        grads = lax.pmean(grads, devices.AXIS)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = optimizers.moving_average(
            params, state.average, config.ema_decay, state.step
        )
        norms = {
            "l2_grads": optax.tree.norm(grads),
            "l2_params": optax.tree.norm(params),
        }
        state = State(state.step + 1, params, opt_state, average)
        return state, {"loss": value} | norms

    counts = {"examples": config.batch_size}
    samples = make_sampler(config, modality, network)
    return sampling.task(config, samples, init=init, step=step, counts=counts)


abilities = Abilities(sample=sampler)
