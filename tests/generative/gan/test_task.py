"""GAN training, against an independent and plain implementation."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlx import streams, tasks
from dlx.data import sources
from dlx.errors import UserError
from dlx.generative.gan import inputs, losses, networks
from dlx.generative.measures import reference_classifier
from dlx.generative.modalities import images as modality
from dlx.runtime import devices, loop


@pytest.fixture
def config():
    from configs import dcgan_digits

    config = dcgan_digits.get_config()
    config.latents, config.g_channels, config.d_channels = 6, (4,), ((4, 6),)
    config.batch_size = 16
    config.num_steps = config.eval_steps = config.checkpoint_steps = 4
    config.log_steps = 2
    config.eval_samples = config.last_eval_samples = 40
    config.reference_classifier = False
    config.schedule, config.d_features = "constant", ()
    config.loss, config.r1, config.r2 = "non_saturating", 0.0, 0.0
    return config


@pytest.fixture
def keys_used_twice():
    """Allows key reuse: following a step by hand makes the same keys again."""
    with jax.debug_key_reuse(False):
        yield


def _trained(config, steps=3):
    """Trains for a few steps on all devices; returns the state and the metrics."""
    task = tasks.make(config)
    keys = streams.Keys(config.seed)
    state = devices.init(task, keys.init)
    train = devices.train_steps(task, state, steps)
    source = task.batches.source(steps)
    with jax.debug_key_reuse(False):
        return train(state, source, devices.device_keys(keys.steps))


VARIANTS = {
    "several": {
        "d_channels": ((4,), (4,), (2, 3)),
        "dropout": (0.0, 0.5, 0.2),
        "mixing": "learnt",
        "loss": "relativistic",
        "r1": 0.1,
        "r2": 0.1,
    },
    "everything else": {
        "d_norm": "spectral", "loss": "minimax", "smoothing": 0.1,
        "conditional": True, "minibatch_std": True, "instance_noise": 0.1,
        "diff_augment": ("translation", "cutout", "colour"), "schedule": "cosine",
    },
}  # fmt: skip
MORE = {
    "batch norm": {"d_norm": "batch", "loss": "hinge", "packing": 2},
    "split": {
        "d_channels": ((4,), (4,)), "dropout": (0.0, 0.0), "d_inputs": "split",
        "mixing": "hypervolume", "loss": "least_squares",
    },
    "channels": {
        "d_channels": ((4,), (4,)), "dropout": (0.0, 0.0), "d_inputs": "channels",
        "d_features": (3,),
    },
    "projected": {
        "d_channels": ((4,), (4,)), "dropout": (0.0, 0.0), "d_inputs": "projection",
        "mixing": "max", "d_steps": 2, "g_steps": 2,
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", [*VARIANTS, *MORE])
def test_every_switch_trains_both_sides(config, name):
    config.update((VARIANTS | MORE)[name])
    before = devices.init(tasks.make(config), streams.Keys(0).init)
    state, metrics = _trained(config)
    assert all(np.all(np.isfinite(m)) for m in metrics.values())
    after, first = (s.params["generator"] for s in (state, before))
    learnt = config.mixing == "learnt"
    assert (after["strength"] != first["strength"]) == learnt
    for side in ("generator", "discriminators"):
        after, first = (jax.tree.leaves(s.params[side]) for s in (state, before))
        unchanged = sum(map(np.array_equal, after, first))
        # Relativistic losses do not depend on the last layer's bias, of which there is
        # one for each group of equal discriminators.
        assert unchanged <= 2


@pytest.mark.usefixtures("keys_used_twice")
def test_a_step_equals_the_papers_algorithm(config):
    """Algorithm 1 of Goodfellow et al. (2014), with Radford's networks."""
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(3))
    images = jax.random.randint(jax.random.key(4), (16, 8, 8, 1), 0, 256, jnp.uint8)
    batch = {"images": images, "labels": jnp.zeros(16, jnp.int32)}
    one = jax.jit(jax.vmap(task.step, axis_name=devices.AXIS))
    keys = jax.random.key(5)[None]
    after, _ = one(*jax.tree.map(lambda x: x[None], (state, batch)), keys)

    generator = networks.make_generator((8, 8, 1), channels=(4,))
    discriminator = networks.Discriminator((4, 6), (3, 3), (2, 2), (), "none", False)
    x = images / 127.5 - 1
    d_key, g_key = jax.random.split(jax.random.key(5))
    z_d = jax.random.split(jax.random.split(d_key, 1)[0])[0]
    z_g = jax.random.split(jax.random.split(g_key, 1)[0], 5)[0]

    def generate(params, key):
        variables = {"params": params, "batch_stats": state.batch_stats["generator"]}
        z = jax.random.normal(jax.random.split(key)[0], (16, 6))
        labels = batch["labels"]
        return generator.apply(
            variables, z, labels, train=True, mutable=["batch_stats"]
        )[0]

    def d(params, x):
        return jax.nn.sigmoid(
            discriminator.apply({"params": params}, x, batch["labels"], 0.0)
        )

    def d_loss(params, fake):
        return -jnp.mean(jnp.log(d(params, x)) + jnp.log(1 - d(params, fake)))

    def g_loss(params, d_params):
        return -jnp.mean(jnp.log(d(d_params, generate(params, z_g))))

    adam = optax.adam(1e-3, b1=0.5, b2=0.99)
    g = state.params["generator"]["network"]
    ((_, d_params),) = state.params["discriminators"].items()
    d_params = jax.tree.map(lambda p: p[0], d_params)
    grads = jax.jit(jax.grad(d_loss))(d_params, generate(g, z_d))
    updates, _ = adam.update(grads, adam.init(d_params))
    d_params = optax.apply_updates(d_params, updates)
    grads = jax.jit(jax.grad(g_loss))(g, d_params)
    g = optax.apply_updates(g, adam.update(grads, adam.init(g))[0])

    ((_, params),) = after.params["discriminators"].items()
    close = {"rtol": 1e-3, "atol": 2e-5}
    params = jax.tree.map(lambda p: p[0, 0], params)
    chex.assert_trees_all_close(params, d_params, **close)
    params = jax.tree.map(lambda p: p[0], after.params["generator"]["network"])
    chex.assert_trees_all_close(params, g, **close)


@pytest.mark.usefixtures("keys_used_twice")
@pytest.mark.parametrize(
    "changes",
    [{}, {"minibatch_std": True, "packing": 2, "d_inputs": "split"}],
    ids=["plain", "inputs of several images"],
)
def test_two_devices_equal_one_with_the_whole_batch(config, changes):
    """Latents are made equal on all devices; nothing else may depend on the device."""
    config.update({"d_channels": ((4,), (4,)), "dropout": (0.0, 0.0), "r1": 0.1})
    config.mixing = "softmax"
    config.update(changes)
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0))
    images = jax.random.randint(jax.random.key(1), (16, 8, 8, 1), 0, 256, jnp.uint8)
    batch = {"images": images, "labels": jnp.zeros(16, jnp.int32)}
    keys = jax.random.split(jax.random.key(2), 2)

    def run(number):
        step = jax.vmap(task.step, axis_name=devices.AXIS, in_axes=(None, 0, None))
        shared = jax.tree.map(lambda x: x.reshape(number, -1, *x.shape[1:]), batch)
        # Both halves of the batch have the same latents.
        normal = jax.random.normal

        def halves(key, shape, *args):
            if len(shape) == 2 and shape[0] == 16:
                return jnp.concatenate([normal(key, (8, shape[1]), *args)] * 2)
            return normal(key, shape, *args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jax.random, "normal", halves)
            return jax.tree.map(lambda x: x[0], jax.jit(step)(state, shared, keys[0]))

    (one, _), (two, _) = run(1), run(2)
    # Compares the whole state: parameters after Adam's first step depend on little but
    # the signs of the gradients.
    chex.assert_trees_all_close(one, two, rtol=1e-3, atol=1e-5)


def test_resuming_is_exact(config, tmp_path):
    config.d_norm = "spectral"
    config.checkpoint_steps = 2

    def stopped(state, key):
        raise KeyboardInterrupt

    with jax.debug_key_reuse(False):
        whole = loop.train(tasks.make(config), config, tmp_path / "whole", name="x")
        task = dataclasses.replace(tasks.make(config), frames=stopped)
        with pytest.raises(KeyboardInterrupt):
            loop.train(task, config, tmp_path / "cut", name="x")
        rest = loop.train(tasks.make(config), config, tmp_path / "cut", name="x")
    assert whole["params_sha256"] == rest["params_sha256"]
    assert whole["about"] == {}, "no reference classifier was used"
    for name in ("sheet.png", "interpolation.png", "neighbours.png", "training.gif"):
        assert (tmp_path / "cut" / "figures" / name).exists()


@pytest.mark.usefixtures("digits_classifier")
def test_equal_samples_are_reported_as_mode_collapse(config, caplog):
    config.reference_classifier = True
    config.eval_samples = config.last_eval_samples = 500
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0))
    dead = jax.tree.map(jnp.zeros_like, state.average["params"])
    collapsed = state.replace(
        step=jnp.int32(17), average=state.average | {"params": dead}
    )
    numbers = task.evaluate(collapsed, jax.random.key(1))
    assert numbers["collapsed"] == 1 and numbers["modes"] == 1
    assert numbers["distance"] == 0 and numbers["most_share"] == 100
    (warning,) = caplog.messages
    assert warning.startswith(
        "step 17: possible mode collapse: mean pairwise distance 0.000 (real 0.3"
    )
    assert warning.endswith(", effective classes 1.0 (real 10.0)")


@pytest.mark.usefixtures("digits_classifier")
def test_real_images_cover_all_modes_without_a_warning(config, caplog):
    config.reference_classifier = True
    for dataset, num_modes in (("digits", 10), ("stacked_digits", 1000)):
        config.dataset = dataset
        train, test = (sources.load(dataset, split) for split in ("train", "test"))
        numbers = modality.Measures(config, train.images, test)(test.images, 0, None)
        assert not numbers["collapsed"] and not caplog.messages
        assert numbers["modes"] == num_modes
        assert numbers["precision"] > 50 and numbers["recall"] > 50
        assert numbers["kl"] < 0.1


@pytest.mark.usefixtures("digits_classifier")
def test_a_generator_that_repeats_training_examples_is_detected(config):
    """Its distance is 0 from these, and the floor from held-out images."""
    config.reference_classifier = True
    train, test = (sources.load("digits", split) for split in ("train", "test"))
    examples = train.images[:500]
    numbers = modality.Measures(config, examples, test)(examples, 0, None)
    name = "fid_digits_classifier"
    assert abs(numbers[name]) < 1e-3
    floor, held_out = numbers[f"{name}_floor"], numbers[f"{name}_held_out"]
    np.testing.assert_allclose(held_out, floor, rtol=1e-5)
    assert floor > 1
    assert numbers["fid_samples"] == len(test.images) == 360


@pytest.mark.usefixtures("digits_classifier")
def test_classes_of_conditional_samples_are_verified(config):
    """Test images count as samples, once of their own class and once of the next."""
    config.reference_classifier = True
    train, test = (sources.load("digits", split) for split in ("train", "test"))
    measures = modality.Measures(config, train.images, test)
    right = measures(test.images, 0, test.labels)
    assert right["class_accuracy"] == right["class_accuracy_held_out"] > 96
    zeros = reference_classifier.load("digits", None, None)(
        test.images[test.labels == 0]
    )[0]
    expected = 100 * np.mean(np.argmax(zeros, axis=1) == 0)
    np.testing.assert_allclose(right["class_accuracy_0"], expected)
    assert measures(test.images, 0, (test.labels + 1) % 10)["class_accuracy"] < 4
    assert "class_accuracy" not in measures(test.images, 0, None)


def test_the_last_evaluation_adds_metrics_of_more_samples(config):
    config.eval_samples, config.last_eval_samples = 40, 80
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0))
    before, last = (
        task.evaluate(state.replace(step=jnp.int32(step)), jax.random.key(1))
        for step in (2, config.num_steps)
    )
    assert before["samples"] == 40 and "last_samples" not in before
    assert last["last_samples"] == 80
    for name, number in before.items():
        assert last[name] == number
    assert task.metric in before and last["last_distance"] != last["distance"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"loss": "wasserstein"}, "config.loss must be one of: .*, got 'wasserstein'"),
        ({"mixing": "median"}, "config.mixing must be one of: .*, got 'median'"),
        ({"d_inputs": "none"}, "config.d_inputs must be one of: .*, got 'none'"),
        ({"dropout": (0.0, 0.0)}, "need an entry for each discriminator"),
        ({"d_channels": ()}, "config.d_channels must be a row of 1 or more"),
        ({"diff_augment": ("turn",)}, "one of: 'flip', 'translation', 'cutout'"),
        ({"smoothing": 0.1, "loss": "hinge"}, "config.loss=hinge has no target"),
        ({"packing": 3}, "do not divide into 3 parts"),
        ({"packing": 2, "conditional": True}, "packed images have no single class"),
        ({"g_channels": (4,) * 4}, "do not end at 8x8"),
        ({"d_steps": 0}, "config.d_steps must be an integer in 1 ..."),
    ],
)
def test_an_invalid_config_is_a_user_error(config, change, why):
    config.update(change)
    with pytest.raises(UserError, match=why.replace("(", r"\(")):
        tasks.make(config)


def test_every_choice_is_tried():
    variants = [{}, {"mixing": "softmax"}, *VARIANTS.values(), *MORE.values()]
    for name, default, choices in (
        ("mixing", "mean", losses.RULES),
        ("loss", "non_saturating", losses.LOSSES),
        ("d_inputs", "same", inputs.CHOICES),
    ):
        assert {variant.get(name, default) for variant in variants} == set(choices)
