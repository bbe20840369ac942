"""Autoencoders: losses by hand, equal results on all devices, digits learnt."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image
import pytest

from dlx import tasks
from dlx.errors import UserError
from dlx.generative.measures import likelihood
from dlx.generative.vae import networks
from dlx.generative.vae import task as vae
from dlx.runtime import devices, loop, writers


@pytest.fixture
def config():
    from configs import vae_mnist

    config = vae_mnist.get_config()
    config.dataset, config.batch_size = "digits", 64
    config.latents, config.features = 2, (16,)
    config.num_steps, config.log_steps = 40, 10
    config.eval_steps = config.checkpoint_steps = 20
    config.eval_samples, config.last_eval_samples = 5, 50
    return config


def _first(config):
    """Returns the task, its initial state, and a batch for one device."""
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0))
    images = np.random.default_rng(0).integers(256, size=(64, 8, 8, 1))
    return task, state, {"images": jnp.array(images, jnp.uint8)}


def _step(task, state, batch, key, number=1):
    split = jax.tree.map(lambda x: x.reshape(number, -1, *x.shape[1:]), batch)
    step = jax.jit(jax.vmap(task.step, (None, 0, 0), axis_name=devices.AXIS))
    return step(state, split, jax.random.split(key, number))


def test_pixels_are_drawn_with_the_probability_of_their_grey():
    greys = jnp.array([0, 51, 255], jnp.uint8)
    drawn = vae.bits(jax.random.key(0), jnp.tile(greys, (20_001, 1)))  # an odd number
    assert set(np.unique(drawn)) == {0.0, 1.0}
    np.testing.assert_allclose(jnp.mean(drawn, axis=0), [0, 0.2, 1], atol=0.015)


def test_two_pixels_of_one_random_word_are_independent():
    drawn = vae.bits(jax.random.key(0), jnp.full((2, 40_000), 102, jnp.uint8))
    both = jnp.mean(drawn[0] * drawn[1])
    np.testing.assert_allclose(both, 0.4**2, atol=0.01)
    np.testing.assert_allclose(jnp.mean(drawn, axis=1), [0.4, 0.4], atol=0.01)


@pytest.mark.parametrize("objective", ["vae", "iwae"])
def test_the_loss_by_hand(objective, config):
    config.objective, config.samples = objective, 3
    config.warmup_steps, config.free_bits = 4, 0.0
    task, state, batch = _first(config)
    _, metrics = _step(task, state, batch, jax.random.key(1))
    _, model = vae.load(config)

    bits_key, noise_key = jax.random.split(jax.random.split(jax.random.key(1), 1)[0])
    x = vae.bits(bits_key, batch["images"])
    mean, log_std = model.encode(state.params, x)
    noise = jax.random.normal(noise_key, (3, 64, 2))
    bounds = []
    for k in range(3):
        z = mean + jnp.exp(log_std) * noise[k]
        p = jax.nn.sigmoid(model.decode(state.params, z))
        fit = jnp.sum(jnp.log(jnp.where(x == 1, p, 1 - p)), axis=(1, 2, 3))
        posterior = jax.scipy.stats.norm.logpdf(z, mean, jnp.exp(log_std)).sum(1)
        bounds.append((fit, jax.scipy.stats.norm.logpdf(z).sum(1) - posterior))
    fit, ratio = map(jnp.stack, zip(*bounds, strict=True))
    beta = 1 / 4
    if objective == "iwae":
        log_weights = np.float64(fit + beta * ratio)
        by_hand = -np.mean(np.log(np.mean(np.exp(log_weights), axis=0)))
    else:
        kl = 0.5 * (mean**2 + jnp.exp(2 * log_std) - 1 - 2 * log_std)
        by_hand = beta * jnp.mean(kl.sum(1)) - jnp.mean(fit)
    np.testing.assert_allclose(metrics["loss"][0], by_hand, rtol=1e-5)


def test_free_bits_cost_nothing(config):
    task, state, batch = _first(config)
    _, plain = _step(task, state, batch, jax.random.key(1))
    config.free_bits = 100.0  # more than any dimension has
    task = tasks.make(config)
    _, free = _step(task, state, batch, jax.random.key(1))
    _, model = vae.load(config)
    bits_key, _ = jax.random.split(jax.random.split(jax.random.key(1), 1)[0])
    mean, log_std = model.encode(state.params, vae.bits(bits_key, batch["images"]))
    kl = jnp.mean(jnp.sum(likelihood.kl_to_standard_normal(mean, log_std), axis=1))
    difference = free["loss"][0] - plain["loss"][0]
    np.testing.assert_allclose(difference, 2 * 100.0 - kl, rtol=1e-4)


def test_free_bits_are_those_of_the_whole_batch(config, monkeypatch):
    """The KL of each half, on a device of its own, differs from the whole batch's."""
    task, state, batch = _first(config)
    dark = jnp.arange(64).reshape(-1, 1, 1, 1) < 32
    batch["images"] = 255 * (batch["images"] // jnp.where(dark, 250, 128)).astype(
        jnp.uint8
    )
    monkeypatch.setattr(jax.random, "normal", lambda key, shape: jnp.zeros(shape))
    _, model = vae.load(config)
    kl = likelihood.kl_to_standard_normal(
        *model.encode(state.params, batch["images"] / 255.0)
    )
    dim, bright = (
        float(jnp.max(jnp.mean(half, axis=0))) for half in (kl[:32], kl[32:])
    )
    assert dim < bright
    config.free_bits = dim / 4 + bright / 4  # between the half's and the whole's
    with jax.debug_key_reuse(False):
        one, two = (
            jax.tree.map(
                lambda x: x[0], _step(task, state, batch, jax.random.key(1), number)[0]
            )
            for number in (1, 2)
        )
    # Compares the whole state: parameters after Adam's first step depend on little but
    # the signs of the gradients.
    chex.assert_trees_all_close(one, two, rtol=1e-3, atol=1e-5)


def test_devices_agree(config):
    task, state, batch = _first(config)
    after, _ = _step(task, state, batch, jax.random.key(1), number=2)
    for n in range(2):
        chex.assert_trees_all_equal(
            jax.tree.map(lambda x: x[0], after.params),
            jax.tree.map(lambda x, n=n: x[n], after.params),
        )
    moved = jax.tree.map(
        lambda a, b: jnp.max(jnp.abs(a[0] - b)), after.params, state.params
    )
    assert min(jax.tree.leaves(moved)) > 0, "everything is trained"


@pytest.mark.usefixtures("digits_classifier")
def test_samples_are_measured_as_those_of_gans_are(config, monkeypatch):
    monkeypatch.setattr(vae, "_SAMPLES", 300)
    config.reference_classifier = True
    task, state, _ = _first(config)
    before = task.evaluate(state, jax.random.key(0))
    state = state.replace(step=config.num_steps)
    after = task.evaluate(state, jax.random.key(1))
    assert not any("fid" in name for name in before)
    assert after["last_samples"] == config.last_eval_samples
    sampler = vae.sampler(config)
    with jax.debug_key_reuse(False):
        *_, key = jax.random.split(jax.random.key(1), 4)
        samples = sampler.samples(state, key, 300)
        # A sample is the decoder's probabilities for a normally distributed vector.
        z_key, _, _ = jax.random.split(jax.random.split(key, 1)[0], 3)
        _, model = vae.load(config)
        logits = model.decode(state.params, jax.random.normal(z_key, (300, 2)))
    np.testing.assert_allclose((samples + 1) / 2, jax.nn.sigmoid(logits), atol=1e-6)
    numbers = sampler.modality.measure(samples, config.num_steps)
    for name in "fid_digits_classifier", "precision", "least_share", "collapsed":
        np.testing.assert_allclose(after[f"last_{name}"], numbers[name], rtol=1e-4)


@pytest.mark.parametrize("channels", [(), (4, 8)])
def test_a_new_model_predicts_the_pixels_means(channels, config):
    config.channels = channels
    _, state, _ = _first(config)
    modality, model = vae.load(config)
    logits = model.decode(state.params, jnp.zeros((3, 2)))
    assert logits.shape == (3, 8, 8, 1)
    probabilities = np.asarray(jax.nn.sigmoid(logits))[0]
    pixels = np.asarray(modality.batches.source(1)["images"]) / 255
    # The dense model is exact to float tolerance, the convolutional one roughly.
    tolerance = 0.15 if channels else 2e-3
    np.testing.assert_allclose(probabilities, pixels.mean(0), atol=tolerance)


def test_the_convolutional_decoder_by_hand():
    """There is one nonlinearity between any two linear layers."""
    network = networks.make(
        (4, 4, 1),
        latents=3,
        features=(5,),
        gated=False,
        channels=(2, 6),
        pixel_means=np.full((4, 4, 1), 0.3),
    )
    z = jax.random.normal(jax.random.key(0), (7, 3))
    params = network.init(jax.random.key(1), jnp.zeros((1, 4, 4, 1)))["params"]
    layers = params["decoder"]

    def linear(x, name):
        return x @ layers[name]["kernel"] + layers[name]["bias"][None]

    x = linear(jnp.tanh(linear(z, "Dense_0")), "Dense_1").reshape(7, 1, 1, 6)
    for number in range(2):
        conv = layers[f"Conv_{number}"]
        x = jax.lax.conv_general_dilated(
            jax.nn.gelu(x),
            conv["kernel"],
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = x + conv["bias"].reshape(1, 1, 1, -1)
        # Four channels become a square of pixels (sub-pixel convolution).
        size, width = x.shape[1], x.shape[3] // 4
        x = x.reshape(7, size, size, 2, 2, width).transpose(0, 1, 3, 2, 4, 5)
        x = x.reshape(7, 2 * size, 2 * size, width)
    expected = x + layers["bias"][None]
    logits = network.apply({"params": params}, z, method="decode")
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)


def test_gated_layers_by_hand():
    network = networks.make(
        (2, 2, 1),
        latents=3,
        features=(5,),
        gated=True,
        channels=(),
        pixel_means=np.full((2, 2, 1), 0.5),
    )
    x = np.random.default_rng(0).normal(size=(4, 2, 2, 1)).astype(np.float32)
    params = network.init(jax.random.key(0), x)["params"]
    layers = jax.tree.map(np.asarray, params["encoder"])

    def linear(x, name):
        return x @ layers[name]["kernel"] + layers[name]["bias"]

    values, gates = np.split(linear(x.reshape(4, 4), "Dense_0"), 2, axis=1)
    hidden = values / (1 + np.exp(-gates))
    mean, log_std = network.apply({"params": params}, x, method="encode")
    np.testing.assert_allclose(mean, linear(hidden, "Dense_1"), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_std, linear(hidden, "Dense_2"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("channels", [(), (4, 8)])
def test_digits_are_learnt_and_an_interrupted_run_resumes_exactly(
    channels, config, terminating, tmp_path
):
    config.channels = channels
    whole = loop.train(tasks.make(config), config, tmp_path / "whole", name="whole")
    metrics = whole["metrics"]
    assert metrics["samples"] == 5 and metrics["last_samples"] == 50
    assert metrics["nll"] == -metrics["log_likelihood"]
    assert metrics["last_nll"] == -metrics["last_log_likelihood"]
    assert metrics["last_nll"] < metrics["nll"], "the tighter bound"
    lines = writers.read_lines(tmp_path / "whole" / "metrics.jsonl")
    assert [line["eval/samples"] for line in lines if "eval/samples" in line] == [5, 5]
    assert metrics["elbo"] == pytest.approx(
        metrics["reconstruction"] - metrics["kl"], rel=1e-5
    )
    assert metrics["elbo"] < metrics["log_likelihood"]
    assert 0 < metrics["nll"] < 64 * np.log(2) - 10, "far better than chance"
    figures = tmp_path / "whole" / "figures"
    names = {path.name for path in figures.glob("*.*")}
    pictures = {"reconstructions.png", "samples.png", "blends.png", "latent_map.png"}
    assert pictures | {"training.gif"} <= names
    with Image.open(figures / "training.gif") as gif:
        assert gif.n_frames == 2, "one for each evaluation"

    cut = terminating(tasks.make(config))
    first = loop.train(cut, config, tmp_path / "cut", name="cut")
    assert first["status"] == "preempted" and first["step"] == 20
    again = loop.train(tasks.make(config), config, tmp_path / "cut", name="cut")
    assert again["params_sha256"] == whole["params_sha256"]
    assert again["metrics"] == whole["metrics"]
    gifs = [tmp_path / run / "figures" / "training.gif" for run in ("whole", "cut")]
    assert gifs[0].read_bytes() == gifs[1].read_bytes()


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("objective", "gan", "config.objective must be one of: 'vae', 'iwae'"),
        ("latents", 0, "config.latents must be an integer in 1"),
        ("channels", (4, 4, 4, 4), "8x8 images cannot be halved 4 times"),
        ("samples", 0, "config.samples must be an integer in 1"),
    ],
)
def test_an_invalid_config_is_a_user_error(field, value, why, config):
    config[field] = value
    with pytest.raises(UserError, match=why):
        tasks.make(config)
