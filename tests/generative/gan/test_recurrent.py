"""A GAN whose generator begins as a language model."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import tasks
from dlx.errors import UserError
from dlx.generative import modalities
from dlx.generative.gan import game
from dlx.generative.language import task as language
from dlx.generative.language.networks import Recurrent
from dlx.runtime import devices


@pytest.fixture
def config(tmp_path):
    from configs import textgan_lstm

    config = textgan_lstm.get_config("names")
    config.corpus = str(tmp_path / "names.txt")
    names = [f"{a}{b}{c}" for a in "bdlmn" for b in "aeio" for c in ("", "na", "riel")]
    (tmp_path / "names.txt").write_text("\n".join(names))
    config.length, config.factor, config.validation = 8, (2, 1), 20
    config.g_channels, config.d_channels, config.batch_size = (6,), ((4, 4),), 8
    config.num_steps = config.log_steps = config.eval_steps = 1
    config.checkpoint_steps = 1
    config.eval_samples = config.last_eval_samples = 8
    return config


def test_characters_have_the_gradients_of_the_softmax():
    """d softmax_i = p_i (d x_i - sum_j p_j d x_j), at the temperature."""
    network = Recurrent((1, 1, 5), (3,), temperature=0.5)
    z, weights = jax.random.normal(jax.random.key(1), (2, 4, 5))
    params = network.init(jax.random.key(0), z, None, train=True)["params"]

    def total(bias):
        changed = jax.tree.map(jnp.array, params)
        changed["cell"]["Dense_0"]["bias"] = bias
        lines = network.apply({"params": changed}, z, None, train=True)
        return jnp.sum(weights * lines[:, 0, 0])

    noise = -np.log(-jax.scipy.special.log_ndtr(z))
    zeros = jnp.zeros((4, 1, 1, 5))
    logits = network.apply({"params": params}, zeros, method="logits")[:, 0]
    p = np.exp((logits + noise) / 0.5)
    p /= p.sum(axis=1, keepdims=True)
    mean = np.sum(p * weights, axis=1, keepdims=True)
    expected = np.sum(p * (weights - mean) / 0.5, axis=0)
    gradient = jax.grad(total)(params["cell"]["Dense_0"]["bias"])
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_the_generator_begins_as_the_language_model_and_both_players_learn(
    config, monkeypatch
):
    modality = modalities.load(config)
    network = Recurrent(modality.shape, (6,))
    line = jnp.zeros((1, *modality.shape))
    params = network.init(jax.random.key(7), line, method="logits")["params"]
    monkeypatch.setattr(game, "trained", {"runs/lm": params}.get)
    config.pretrained = "runs/lm"
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0))
    chex.assert_trees_all_equal(state.params["generator"]["network"], params)
    own = language.make_sampler(modality, network)
    begun = language.State(0, params, None)
    sampler = tasks.abilities(config).sample(config)
    np.testing.assert_array_equal(
        sampler.samples(state, jax.random.key(2), 8),
        own.samples(begun, jax.random.key(2), 8),
    )
    codes = jnp.zeros((1, 8, 8), jnp.uint8)
    batch = {"codes": codes, "labels": jnp.zeros((1, 8), jnp.int32)}
    step = jax.jit(jax.vmap(task.step, (None, 0, None), axis_name=devices.AXIS))
    after, _ = step(state, batch, jax.random.key(3))
    moved = jax.tree.map(
        lambda a, b: jnp.max(jnp.abs(a - b[0])), state.params, after.params
    )
    assert min(jax.tree.leaves(moved["generator"]["network"])) > 0
    assert max(jax.tree.leaves(moved["discriminators"])) > 0

    config.g_channels = (5,)
    with pytest.raises(UserError, match="does not fit the generator"):
        jax.eval_shape(tasks.make(config).init, jax.random.key(0))


def test_what_is_no_language_model_is_refused(config, tmp_path):
    config.pretrained = str(tmp_path / "run")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"task": "vae"}')
    with pytest.raises(UserError, match="holds no language model, but 'vae'"):
        tasks.make(config)
    config.modality, config.pretrained = "images", None
    with pytest.raises(UserError, match="g_network=recurrent writes texts, not images"):
        tasks.make(config)
