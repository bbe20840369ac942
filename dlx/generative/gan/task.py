"""Generative adversarial networks with one discriminator or several.

Examples are images; sounds and texts are images of width 1. One step makes `d_steps`
updates of the discriminators, each on new real examples, and then `g_steps` updates of
the generator. Evaluation and figures use a moving average of the generator.
"""

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import optax

from dlx import optimizers
from dlx.generative import modalities, sampling
from dlx.generative.gan.config import FIELDS as FIELDS  # `tasks.make` reads them
from dlx.generative.gan.config import require
from dlx.generative.gan.game import Game, generator_variables, make_networks
from dlx.runtime import devices
from dlx.runtime.task import Abilities, Task


@struct.dataclass
class State:
    """The state of training.

    Attributes:
      step: [] int32. The number of steps trained.
      params: {'generator': {'network': parameters, 'strength': [] float32, whose
        softplus is lambda if it is learnt}, 'discriminators': parameters}.
      batch_stats: {'generator': running statistics of batch normalisation,
        'discriminators': state of spectral normalisation}.
      opt_state: {'generator': optimiser state, 'discriminators': optimiser state}.
      average: Moving average of the generator's params and batch_stats.
    """

    step: jax.Array
    params: chex.ArrayTree
    batch_stats: chex.ArrayTree
    opt_state: chex.ArrayTree
    average: chex.ArrayTree


def make_optimizers(config) -> dict[str, optax.GradientTransformation]:
    """Makes an optimiser for each player, with its own rate (Heusel et al. 2017)."""

    def make(rate, updates):
        return optimizers.make(
            config.get("optimizer", "adam"),
            config.num_steps * updates,
            learning_rate=rate,
            schedule=config.schedule,
            b1=config.adam_b1,
            b2=config.adam_b2,
        )

    return {
        "generator": make(config.g_learning_rate, config.g_steps),
        "discriminators": make(config.d_learning_rate, config.d_steps),
    }


def make_updates(config, game: Game, txs):
    """Returns two functions: an update of the discriminators, one of the generator.

    Each is (state, key, real, labels) -> (state, metrics), on one device.
    """

    def apply(state, player, grads, stats):
        grads = lax.pmean(grads, devices.AXIS)
        updates, opt_state = txs[player].update(
            grads, state.opt_state[player], state.params[player]
        )
        params = optax.apply_updates(state.params[player], updates)
        return state.replace(
            params=state.params | {player: params},
            batch_stats=state.batch_stats | {player: stats},
            opt_state=state.opt_state | {player: opt_state},
        )

    def noise(step):
        """The instance noise falls linearly to 0 over the run."""
        return config.instance_noise * (1 - step / config.num_steps)

    def update_discriminators(state, key, real, labels):
        fake_key, loss_key = jax.random.split(key)
        params, stats = state.params, state.batch_stats
        fake, _ = game.generate(
            params["generator"], stats["generator"], fake_key, labels
        )
        grads, (new, metrics) = jax.grad(game.discriminators_loss, has_aux=True)(
            params["discriminators"],
            stats["discriminators"],
            *(loss_key, real, fake, labels, noise(state.step)),
        )
        return apply(state, "discriminators", grads, new), metrics

    def update_generator(state, key, real, labels):
        params = state.params
        grads, (new, metrics) = jax.grad(game.generator_loss, has_aux=True)(
            params["generator"],
            state.batch_stats,
            params["discriminators"],
            *(key, real, labels, noise(state.step)),
        )
        return apply(state, "generator", grads, new), metrics

    return update_discriminators, update_generator


def make_step(config, modality: modalities.Modality, game: Game, txs):
    """Returns the task's `step`: the discriminators' updates, then the generator's."""
    update_discriminators, update_generator = make_updates(config, game, txs)

    def step(state, batch, key):
        d_key, g_key = jax.random.split(key)
        real, labels = (
            x.reshape(config.d_steps, -1, *x.shape[1:])
            for x in (modality.to_network(batch), batch["labels"])
        )
        state, d_metrics = lax.scan(
            lambda state, inputs: update_discriminators(state, *inputs),
            state,
            (jax.random.split(d_key, config.d_steps), real, labels),
        )
        state, g_metrics = lax.scan(
            lambda state, key: update_generator(state, key, real[-1], labels[-1]),
            state,
            jax.random.split(g_key, config.g_steps),
        )
        variables = generator_variables(state.params, state.batch_stats)
        average = optimizers.moving_average(
            variables, state.average, config.ema_decay, state.step
        )
        metrics = jax.tree.map(jnp.mean, d_metrics | g_metrics)
        metrics["l2_params"] = optax.tree.norm(state.params)
        return state.replace(step=state.step + 1, average=average), metrics

    return step


def make(config) -> Task:
    """Builds the task.

    Args:
      config: A config like that of configs/dcgan_digits.py.

    Raises:
      UserError: if the config is invalid or the data are missing.
    """
    require(config)
    modality = modalities.load(config)
    game, txs = Game(config, modality), make_optimizers(config)
    samples = make_sampler(config, modality, game.generator)

    def init(key):
        params, stats = game.init(key)
        opt_state = {name: tx.init(params[name]) for name, tx in txs.items()}
        average = jax.tree.map(jnp.copy, generator_variables(params, stats))
        return State(jnp.int32(0), params, stats, opt_state, average)

    return sampling.task(
        config,
        samples,
        init=init,
        step=make_step(config, modality, game, txs),
        counts={"examples": config.batch_size * config.d_steps},
    )


def make_sampler(config, modality: modalities.Modality, generator) -> sampling.Sampler:
    """Returns a sampler of the generator's moving average."""

    @jax.jit
    def generate(average, z, labels, key):
        return generator.apply(average, z, labels, train=False, rngs={"gumbel": key})

    return sampling.Sampler(
        modality,
        lambda state, z, labels, key: generate(state.average, z, labels, key),
        config.latents,
        conditional=config.conditional,
    )


def sampler(config) -> sampling.Sampler:
    """Returns the sampler of a run with this config.

    Raises:
      UserError: if the run's data are missing.
    """
    modality = modalities.load(config)
    return make_sampler(config, modality, make_networks(config, modality)[0])


abilities = Abilities(sample=sampler)
