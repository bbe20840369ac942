"""Samples, interpolations and evaluations of a generator that returns its input."""

import types

import jax
import ml_collections
import numpy as np
import pytest

from dlx.errors import UserError
from dlx.generative import interpolation, sampling
from dlx.runtime import memory


@pytest.fixture
def sampler():
    modality = types.SimpleNamespace(num_classes=3)

    def generate(state, z, labels, key):
        del key
        return state * z[:, :, None, None] + 100 * labels[:, None, None, None]

    return sampling.Sampler(modality, generate, 4)


def test_any_number_of_samples_is_drawn_in_batches(sampler):
    samples = sampler.samples(0.001, jax.random.key(0), 1201)
    assert samples.shape == (1201, 4, 1, 1)
    assert len(np.unique(samples, axis=0)) == 1201
    labels = np.round(samples[:, 0, 0, 0] / 100)
    assert set(labels) == {0, 1, 2}


def test_samples_are_of_the_classes_that_were_asked_for(sampler):
    labels = np.arange(1201) % 3
    samples = sampler.samples(0.001, jax.random.key(0), 1201)
    assert np.round(samples[:, 0, 0, 0] / 100).tolist() == labels.tolist()
    assert sampler.labels(1201).tolist() == labels.tolist()
    chosen = sampler.samples(0.001, jax.random.key(0), 700, np.full(700, 2))
    assert set(np.round(chosen[:, 0, 0, 0] / 100)) == {2}


def test_the_sheet_of_a_conditional_generator_has_a_row_for_each_class(sampler):
    sampler.conditional = True
    assert sampler.sheet_labels().tolist() == [0] * 8 + [1] * 8 + [2] * 8
    sampler.conditional = False
    assert len(sampler.sheet_labels()) == sampling.SHEET


def test_interpolations_keep_their_label(sampler):
    images = sampler.interpolations(0.001, jax.random.key(0), paths=5, steps=7)
    labels = np.round(images[:, 0, 0, 0] / 100).reshape(5, 7)
    assert (labels == labels[:, :1]).all()


def test_paths_are_interpolated_one_after_the_other():
    starts, ends = jax.random.normal(jax.random.key(0), (2, 3, 4))
    z = sampling.interpolate(interpolation.linear, starts, ends, 5).reshape(3, 5, 4)
    np.testing.assert_allclose(z[:, 0], starts, atol=1e-6)
    np.testing.assert_allclose(z[:, 2], (starts + ends) / 2, atol=1e-6)
    np.testing.assert_allclose(z[:, -1], ends, atol=1e-6)


@pytest.mark.parametrize(("step", "names"), [(3, ["n"]), (4, ["n", "last_n"])])
def test_the_last_evaluation_measures_twice(step, names):
    config = ml_collections.ConfigDict(
        {"num_steps": 4, "eval_samples": 10, "last_eval_samples": 20}
    )
    keys = jax.random.split(jax.random.key(0))
    numbers = sampling.evaluate(config, step, lambda key, n: {"n": n}, keys)
    assert list(numbers) == names
    assert [int(number) for number in numbers.values()] == [10, 20][: len(names)]


def test_more_samples_than_fit_are_refused(monkeypatch):
    monkeypatch.setattr(memory, "free_on_host", lambda: 10**9)
    numbers = {"eval_samples": 1000, "last_eval_samples": 20_000}
    sampling.require_room(ml_collections.ConfigDict(numbers), (32, 32, 3))
    numbers["last_eval_samples"] = 10**6
    wanted = r"last_eval_samples=1000000: samples of 32x32x3 .* 22.89 GiB .* are free"
    with pytest.raises(UserError, match=wanted):
        sampling.require_room(ml_collections.ConfigDict(numbers), (32, 32, 3))
