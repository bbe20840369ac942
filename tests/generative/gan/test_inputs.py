"""The inputs of each discriminator, by hand."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from dlx.generative.gan.inputs import DiscriminatorInputs

IMAGES = jnp.arange(4 * 2 * 2 * 3.0).reshape(4, 2, 2, 3)
LABELS = jnp.arange(4)


def _inputs(number, **changes):
    config = ml_collections.ConfigDict(
        {"d_inputs": "same", "packing": 1, "diff_augment": (), "instance_noise": 0.0}
    )
    config.d_channels = ((4,),) * number
    config.update(changes)
    return DiscriminatorInputs(config, 3)(jax.random.key(0), IMAGES, LABELS, 0.0)


def test_all_have_the_same_input():
    images, labels = _inputs(2)
    np.testing.assert_array_equal(images, np.stack([IMAGES, IMAGES]))
    np.testing.assert_array_equal(labels, np.stack([LABELS, LABELS]))


def test_each_has_a_part_of_the_batch():
    images, labels = _inputs(2, d_inputs="split")
    np.testing.assert_array_equal(images, [IMAGES[::2], IMAGES[1::2]])
    np.testing.assert_array_equal(labels, [[0, 2], [1, 3]])


@pytest.mark.parametrize("packing", [1, 2])
def test_the_first_has_all_channels_and_each_other_has_one(packing):
    images, _ = _inputs(5, d_inputs="channels", packing=packing)
    whole, *single = np.asarray(images)
    assert whole.shape == (4 // packing, 2, 2, 3 * packing)
    for number, alone in enumerate(single):
        for place in range(3 * packing):
            is_shown = place // packing == number % 3
            expected = whole[..., place] if is_shown else np.zeros_like(whole[..., 0])
            np.testing.assert_array_equal(alone[..., place], expected)


def test_packed_images_are_interleaved_as_channels():
    images, _ = _inputs(1, packing=2)
    for channel in range(3):
        for which in range(2):
            np.testing.assert_array_equal(
                images[0, :, ..., 2 * channel + which],
                IMAGES[which::2, ..., channel],
            )


def test_projections_are_halved_fixed_and_different():
    first, _ = _inputs(2, d_inputs="projection")
    again, _ = _inputs(2, d_inputs="projection")
    assert first.shape == (2, 4, 1, 1, 3)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first[0], first[1])
