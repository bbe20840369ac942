"""Language models: likelihood, causality, writing, devices, resuming."""

import json

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx import tasks
from dlx.data import corpora
from dlx.errors import UserError
from dlx.generative import modalities
from dlx.generative.language import likelihood
from dlx.generative.language import task as language
from dlx.generative.language.networks import Recurrent
from dlx.runtime import devices, loop


@pytest.fixture(scope="module")
def network():
    """Two layers, lines of six of five characters, and parameters."""
    network = Recurrent((6, 1, 5), (4, 3))
    params = network.init(jax.random.key(0), _lines(1), method="logits")["params"]
    return network, jax.tree.map(lambda x: 3 * x + 0.1, params)


@pytest.fixture
def config(tmp_path):
    from configs import lm_text

    config = lm_text.get_config("names")
    config.corpus = str(tmp_path / "names.txt")
    names = [f"{a}{b}{c}" for a in "bdlmn" for b in "aeio" for c in ("", "na", "riel")]
    (tmp_path / "names.txt").write_text("\n".join(names))
    config.length, config.validation, config.widths = 7, 20, (8,)
    config.batch_size, config.warmup_steps = 8, 0
    config.num_steps, config.log_steps = 4, 1
    config.eval_steps = config.checkpoint_steps = 2
    config.eval_samples = config.last_eval_samples = 8
    return config


def _lines(number):
    codes = np.random.default_rng(0).integers(0, 5, (number, 6))
    return jax.nn.one_hot(codes, 5)[:, :, None]


def _logits(network, lines):
    network, params = network
    return np.asarray(network.apply({"params": params}, lines, method="logits"))


def test_the_likelihood_is_the_product_of_each_characters_probability(network):
    """The gates are those of Hochreiter and Schmidhuber (1997) and Gers (2000)."""
    cells = network[1]["cell"]
    lines = np.asarray(_lines(3))[:, :, 0]

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def probabilities(states, x):
        after = []
        for number, (c, h) in enumerate(states):
            p = cells[f"OptimizedLSTMCell_{number}"]
            i, f, g, o = (
                x @ p[f"i{gate}"]["kernel"]
                + h @ p[f"h{gate}"]["kernel"]
                + p[f"h{gate}"]["bias"]
                for gate in "ifgo"
            )
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            x = sigmoid(o) * np.tanh(c)
            after.append((c, x))
        logits = x @ cells["Dense_0"]["kernel"] + cells["Dense_0"]["bias"]
        return after, np.exp(logits) / np.exp(logits).sum()

    expected = []
    for line in lines:
        states, x, product = [(np.zeros(w),) * 2 for w in (4, 3)], np.zeros(5), 1
        for character in line:
            states, p = probabilities(states, x)
            product, x = product * p[character.argmax()], character
        expected.append(-np.log(product))
    nats = likelihood.surprise(*network, _lines(3))
    np.testing.assert_allclose(nats, expected, rtol=1e-5)
    np.testing.assert_array_less(1, np.ptp(expected))


def test_a_character_changes_later_logits_only(network):
    lines = _lines(2)
    before = _logits(network, lines)
    for at in range(6):
        changed = lines.at[:, at].set(jnp.roll(lines[:, at], 1, axis=-1))
        moved = np.abs(_logits(network, changed) - before).max(axis=(0, 2))
        assert not moved[: at + 1].any() and np.all(moved[at + 1 :] > 0)


def test_lines_are_drawn_from_the_predictions(network):
    z = jax.random.normal(jax.random.key(1), (4000, 30))
    written = network[0].apply({"params": network[1]}, z, None, train=False)
    assert written.shape == (4000, 6, 1, 5)
    assert set(np.unique(written)) == {0, 1} and np.all(written.sum(axis=-1) == 1)
    # Reading a line that was written predicts it, with the noise that drew it.
    logits, codes = _logits(network, written), np.argmax(written[:, :, 0], axis=-1)
    noise = -np.log(-jax.scipy.special.log_ndtr(z)).reshape(-1, 6, 5)
    np.testing.assert_array_equal(np.argmax(logits + noise, axis=-1), codes)
    # Characters are as frequent as the predictions are probable, at every place.
    p = np.asarray(jax.nn.softmax(logits))
    frequencies = np.eye(5)[codes].mean(axis=0)
    error = np.abs(frequencies - p.mean(axis=0))
    assert np.all(error < 4 * np.sqrt(p.mean(axis=0) / 4000))
    assert np.all(p[:, 0] == p[0, 0]) and np.ptp(p[:, 5], axis=0).max() > 0.1


def test_bits_are_those_of_guessing_if_all_is_equal(config):
    """The end of a shorter line counts as a character, what follows it does not."""
    modality = modalities.load(config)
    network = language.make_network(config, modality)
    params = network.init(
        jax.random.key(0), jnp.zeros((1, *modality.shape)), method="logits"
    )["params"]
    config.last_eval_samples = 100
    bits = likelihood.make_bits(config, modality, network)
    counted = sum(len(f"{line.strip()} "[:7]) for line in modality.held_out)
    characters = 7 * len(modality.held_out) / counted
    guessed = np.log2(len(corpora.CHARACTERS)) * characters
    np.testing.assert_allclose(
        bits(jax.tree.map(jnp.zeros_like, params)), guessed, rtol=1e-5
    )


def test_two_devices_equal_one(config):
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0))
    codes = jnp.asarray(corpora.encode(modalities.load(config)._lines[:8]))
    key = jax.random.key(1)

    def run(number):
        step = jax.vmap(task.step, axis_name=devices.AXIS, in_axes=(None, 0, None))
        after = jax.jit(step)(state, {"codes": codes.reshape(number, -1, 7)}, key)
        return jax.tree.map(lambda x: jnp.mean(x, axis=0), after)

    (one, numbers), (two, others) = run(1), run(2)
    chex.assert_trees_all_close(one.opt_state, two.opt_state, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(numbers["loss"], others["loss"], rtol=1e-5)
    moved = jax.tree.map(lambda a, b: jnp.max(jnp.abs(a - b)), state.params, one.params)
    assert min(jax.tree.leaves(moved)) > 0, "everything is trained"


def test_a_run_interrupted_resumes_exactly_and_learns(config, terminating, tmp_path):
    whole = loop.train(tasks.make(config), config, tmp_path / "whole", name="whole")
    cut = terminating(tasks.make(config))
    first = loop.train(cut, config, tmp_path / "cut", name="cut")
    assert first["status"] == "preempted" and first["step"] == 2
    again = loop.train(tasks.make(config), config, tmp_path / "cut", name="cut")
    assert again["params_sha256"] == whole["params_sha256"]
    lines = (tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()
    before, after = (
        numbers["eval/bits_per_character"]
        for numbers in map(json.loads, lines)
        if "eval/bits_per_character" in numbers
    )
    assert 0 < after < before
    numbers = again["metrics"]
    assert {"listed", "last_ngrams_4_chain_3", "found_held_out"} <= numbers.keys()
    lines = (tmp_path / "cut" / "figures" / "samples.txt").read_text().splitlines()
    assert len(lines) == 64 and {len(line) for line in lines} == {7}


def test_held_out_lines_are_needed(config):
    config.validation = 0
    with pytest.raises(UserError, match=r"config.validation must be an integer in 1"):
        tasks.make(config)
