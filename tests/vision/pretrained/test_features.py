"""Feature extractors: parameter counts, shapes and receptive fields."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.models.layers import average_pool, max_pool_3x3
from dlx.vision.airbench_network import Airbench
from dlx.vision.networks import CNNClassifier
from dlx.vision.pretrained import features

# Torchvision's counts.
PARAMETERS = {
    "squeezenet1_0": 1_248_424,
    "squeezenet1_1": 1_235_496,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_are_as_many_as_torchvision_s(name):
    network = features.NETWORKS[name]
    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    key = jax.random.key(0)
    shapes = jax.eval_shape(lambda x: network.init(key, x, ["logits"]), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == PARAMETERS[name]
    found = jax.eval_shape(lambda v, x: network.apply(v, x, network.layers), shapes, x)
    assert found.keys() == set(network.layers) and found["logits"].shape == (1, 1000)
    last = {"s": ("fire9", 13, 512), "v": ("pool5", 7, 512)}[name[0]]
    assert found[last[0]].shape == (1, last[1], last[1], last[2])


@pytest.mark.parametrize(
    ("name", "layer", "size"),
    [
        ("squeezenet1_0", "conv1", 40),
        ("squeezenet1_0", "pool4", 71),
        pytest.param("squeezenet1_1", "fire4", 72, marks=pytest.mark.slow),
        ("vgg19", "relu2_2", 22),
    ],
)
def test_features_depend_on_their_receptive_fields(name, layer, size):
    network = features.NETWORKS[name]
    key, x_key = jax.random.split(jax.random.key(0))
    x = jax.random.uniform(x_key, (1, size, size, 3))
    features_of = jax.jit(lambda v, x: network.apply(v, x, [layer])[layer])
    variables = jax.jit(lambda key: network.init(key, x, [layer]))(key)
    shape = features_of(variables, x).shape
    field = network.receptive_fields()[layer]
    i = shape[1] // 2
    grads = jax.grad(lambda x: jnp.sum(features_of(variables, x)[:, i]))(x)
    (seen,) = np.nonzero(np.abs(grads).max(axis=(0, 2, 3)))
    first, last = field.stride * i - field.before, field.stride * i + field.after
    assert first >= 0 and last < size, "the field must lie inside the image"
    assert first <= seen[0] <= first + 1 and last - 1 <= seen[-1] <= last


@pytest.mark.parametrize("size", [3, 6, 7, 8])
def test_max_pool_3x3_is_flax_s_with_a_last_window_beyond(size):
    x = jax.random.normal(jax.random.key(0), (2, size, size + 1, 3))

    def by_flax(x):
        beyond = [(0, 1 - side % 2) for side in x.shape[1:3]]
        return nn.max_pool(x, (3, 3), (2, 2), padding=beyond)

    np.testing.assert_array_equal(max_pool_3x3(x), by_flax(x))
    weights = jax.random.normal(jax.random.key(1), by_flax(x).shape)
    ours, theirs = (
        jax.grad(lambda x, f=f: jnp.sum(weights * f(x)))(x)
        for f in (max_pool_3x3, by_flax)
    )
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_equal_pixels_share_one_gradient():
    grads = jax.grad(lambda x: jnp.sum(max_pool_3x3(x)))(jnp.zeros((1, 7, 7, 1)))
    assert jnp.sum(grads) == 9


def test_average_pool_by_hand():
    x = jnp.arange(10.0).reshape(1, 2, 5, 1)
    np.testing.assert_array_equal(average_pool(x).ravel(), [3, 5])


def test_a_classifier_gives_its_blocks_too():
    classifier = CNNClassifier(10, (4, 6), (8,), 0.0)
    x = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
    variables = classifier.init(jax.random.key(1), x, train=False)
    _, seen = classifier.apply(
        variables, x, train=False, mutable="intermediates", capture_intermediates=True
    )
    blocks = classifier.apply(variables, x, train=False, wanted=classifier.layers)
    for name, norm in (("block1", "BatchNorm_0"), ("block2", "BatchNorm_1")):
        (normed,) = seen["intermediates"][norm]["__call__"]
        np.testing.assert_array_equal(blocks[name], nn.relu(normed))
    assert classifier.receptive_fields()["block2"].stride == 4
    larger = classifier.apply(
        variables, jnp.zeros((1, 20, 12, 3)), train=False, wanted=["block2"]
    )
    assert larger["block2"].shape == (1, 5, 3, 6)


def test_airbench_gives_its_groups_too():
    network = Airbench(10, np.ones((2, 2, 3, 24), np.float32), 1, (4, 6))
    x = jnp.zeros((1, 32, 32, 3))
    variables = jax.eval_shape(lambda: network.init(jax.random.key(0), x, train=False))
    found = jax.eval_shape(
        lambda v: network.apply(v, x, train=False, wanted=network.layers), variables
    )
    assert [found[name].shape[1] for name in network.layers] == [31, 15, 7]
    fields = network.receptive_fields()
    assert [fields[name].stride for name in network.layers] == [1, 2, 4]
