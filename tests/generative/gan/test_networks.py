"""Generators and discriminators."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.generative.gan import networks


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((8, 8, 1), (6, 4)), ((28, 28, 1), (6, 4)), ((32, 32, 3), (6, 4, 4)),
     ((64, 64, 3), (8, 6, 4, 4))],
)  # fmt: skip
def test_images_have_the_requested_shape_and_range(shape, channels):
    generator = networks.make_generator(shape, channels=channels)
    z, labels = 10 * jax.random.normal(jax.random.key(0), (3, 5)), jnp.zeros(3, int)
    variables = generator.init(jax.random.key(1), z, labels, train=False)
    images = generator.apply(variables, z, labels, train=False)
    assert images.shape == (3, *shape) and jnp.all(jnp.abs(images) <= 1)
    assert len(np.unique(images[:, 0, 0, 0])) == 3, "latents change images"


def test_a_text_is_an_image_of_width_1_of_probabilities():
    generator = networks.make_generator(
        (32, 1, 7), channels=(6, 4), kernel=(5, 1), factor=(4, 1), output="softmax"
    )
    z, labels = jax.random.normal(jax.random.key(0), (3, 5)), jnp.zeros(3, int)
    variables = generator.init(jax.random.key(1), z, labels, train=False)
    lines = generator.apply(variables, z, labels, train=False)
    assert lines.shape == (3, 32, 1, 7)
    np.testing.assert_allclose(lines.sum(axis=-1), 1, rtol=1e-5)
    noisy = [
        generator.apply(
            variables, z, labels, train=False, rngs={"gumbel": jax.random.key(seed)}
        )
        for seed in range(2, 202)
    ]
    # The largest of logits with Gumbel's noise is drawn with their probabilities.
    drawn = np.mean(np.argmax(noisy, axis=-1) == 0, axis=(0, 1, 2, 3))
    assert np.isclose(drawn, lines[..., 0].mean(), atol=0.02)


def _discriminators(channels, **options):
    options = {"kernel": (3, 3), "norm": "none"} | options
    return networks.make_discriminators(channels=channels, **options)


def test_several_equal_each_alone():
    channels = ((4,), (4,), (2, 3))  # two equal ones, and a different one
    several = _discriminators(channels)
    x = jax.random.normal(jax.random.key(0), (3, 5, 8, 8, 1))
    labels, none = jnp.zeros((3, 5), int), jnp.zeros(3)
    variables = several.init(jax.random.key(1), x, labels, none)
    logits = several.apply(variables, x, labels, none)
    assert logits.shape == (3, 5)
    groups = sorted(variables["params"])
    assert len(groups) == 2
    places = [(groups[0], 0), (groups[0], 1), (groups[1], 0)]
    for number, (group, place) in enumerate(places):
        alone = networks.Discriminator(
            channels[number], (3, 3), (2, 2), (), "none", False
        )
        params = jax.tree.map(lambda p: p[place], variables["params"][group])  # noqa: B023
        expected = alone.apply({"params": params}, x[number], labels[0], none[0])
        np.testing.assert_allclose(logits[number], expected, rtol=1e-5, atol=1e-6)
    kernels = variables["params"][groups[0]]["Conv_0"]["kernel"]
    assert jnp.any(kernels[0] != kernels[1]), "each is initialised differently"


def test_the_spectral_norm_is_the_largest_singular_value():
    network = _discriminators(((4, 6),), norm="spectral")
    x = jax.random.normal(jax.random.key(0), (1, 3, 8, 8, 2))
    labels, none = jnp.zeros((1, 3), int), jnp.zeros(1)
    variables = network.init(jax.random.key(1), x, labels, none)
    run = jax.jit(lambda v: network.apply(v, x, labels, none, mutable=["batch_stats"]))
    for _ in range(200):
        logits, new = run(variables)
        variables = variables | new
    (params,) = variables["params"].values()

    def normed(leaf):
        if leaf.ndim < 3:  # a bias, [1, n]
            return leaf
        matrix = np.asarray(leaf[0]).reshape(-1, leaf.shape[-1])
        return leaf / np.linalg.svd(matrix, compute_uv=False)[0]

    params = jax.tree.map(lambda p: normed(p)[0], params)
    plain = networks.Discriminator((4, 6), (3, 3), (2, 2), (), "none", False)
    expected = plain.apply({"params": params}, x[0], labels[0], none[0])
    np.testing.assert_allclose(logits[0], expected, rtol=1e-4, atol=1e-5)


def test_each_discriminator_has_its_own_dropout_rate():
    network = _discriminators(((64,), (64,)))
    x = jnp.broadcast_to(
        jax.random.normal(jax.random.key(0), (8, 8, 1)), (2, 9, 8, 8, 1)
    )
    labels, rates = jnp.zeros((2, 9), int), jnp.array([0.0, 0.5])
    variables = network.init(jax.random.key(1), x, labels, rates)
    logits = network.apply(
        variables, x, labels, rates, rngs={"dropout": jax.random.key(2)}
    )
    assert np.allclose(logits[0], logits[0, 0]), "a rate of 0 drops nothing"
    assert len(np.unique(logits[1])) == 9


def test_logits_depend_on_the_standard_deviation_of_the_batch():
    network = _discriminators(((4,),), minibatch_std=True)
    noise = jax.random.normal(jax.random.key(0), (1, 6, 8, 8, 1))
    same = jnp.broadcast_to(noise[:, :1], noise.shape)
    labels, none = jnp.zeros((1, 6), int), jnp.zeros(1)
    variables = network.init(jax.random.key(1), noise, labels, none)
    among_others = network.apply(variables, noise, labels, none)[0, 0]
    among_copies = network.apply(variables, same, labels, none)[0, 0]
    assert abs(among_others - among_copies) > 1e-3


def test_labels_change_generated_images_and_logits():
    generator = networks.make_generator((8, 8, 1), channels=(4,), num_classes=3)
    z = jnp.broadcast_to(jax.random.normal(jax.random.key(0), (1, 5)), (3, 5))
    labels = jnp.arange(3)
    variables = generator.init(jax.random.key(1), z, labels, train=False)
    images = generator.apply(variables, z, labels, train=False)
    assert len(np.unique(images[:, 0, 0, 0])) == 3
    network = _discriminators(((4,),), num_classes=3)
    same = jnp.broadcast_to(images[:1], images.shape)[None]
    variables = network.init(jax.random.key(2), same, labels[None], jnp.zeros(1))
    logits = network.apply(variables, same, labels[None], jnp.zeros(1))
    assert len(np.unique(logits)) == 3


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda: networks.make_generator((9, 8, 1), channels=(4,)),
            "do not end at 9x8",
        ),
        (lambda: networks.make_generator((8, 8, 1), channels=()), "0 layers"),
        (lambda: _discriminators(((4,), (0,))), "positive integer"),
        (
            lambda: _discriminators(((4,),), norm="layer"),
            "unknown norm 'layer'",
        ),
    ],
)
def test_invalid_layers_are_a_value_error(make, why):
    with pytest.raises(ValueError, match=why):
        make()
