"""The game of generator and discriminators, against itself written plainly."""

import dataclasses

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlx import tasks
from dlx.data import sources
from dlx.errors import UserError
from dlx.generative.gan import inputs, losses, networks
from dlx.generative.gan import task as gan
from dlx.generative.modalities import images as pictures
from dlx.runtime import devices as parallel
from dlx.runtime import loop


@pytest.fixture
def config():
    from configs import dcgan_digits

    config = dcgan_digits.get_config()
    config.latents, config.g_channels, config.d_channels = 6, (4,), ((4, 6),)
    config.batch_size = 16
    config.num_steps = config.eval_steps = config.checkpoint_steps = 4
    config.log_steps = 2
    config.eval_samples = config.last_eval_samples = 40
    config.judge = False
    config.schedule, config.d_features = "constant", ()
    config.loss, config.r1, config.r2 = "non_saturating", 0.0, 0.0
    return config


@pytest.fixture
def keys_used_twice():
    """Allows it: to follow a step one has to make its keys again."""
    with jax.debug_key_reuse(False):
        yield


def _trained(config, steps=3, change=lambda task: task):
    """The state after some steps on however many devices there are."""
    task = change(tasks.make(config))
    keys = loop.Keys(config.seed)
    state = parallel.init(task, keys.init)
    train = parallel.train_steps(task, state, steps)
    source = task.batches.source(steps)
    with jax.debug_key_reuse(False):
        return train(state, source, parallel.device_keys(keys.steps))


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
        "d_channels": ((4,), (4,)), "dropout": (0.0, 0.0), "views": "split",
        "mixing": "hypervolume", "loss": "least_squares",
    },
    "channels": {
        "d_channels": ((4,), (4,)), "dropout": (0.0, 0.0), "views": "channels",
        "d_features": (3,),
    },
    "projected": {
        "d_channels": ((4,), (4,)), "dropout": (0.0, 0.0), "views": "projection",
        "mixing": "max", "d_steps": 2, "g_steps": 2,
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", [*VARIANTS, *MORE])
def test_every_switch_trains_both_sides(config, name):
    config.update((VARIANTS | MORE)[name])
    before = parallel.init(tasks.make(config), loop.Keys(0).init)
    state, metrics = _trained(config)
    assert all(np.all(np.isfinite(m)) for m in metrics.values())
    after, first = (s.params["generator"] for s in (state, before))
    learnt = config.mixing == "learnt"
    assert (after["strength"] != first["strength"]) == learnt
    for side in ("generator", "discriminators"):
        ours, first = (jax.tree.leaves(s.params[side]) for s in (state, before))
        still = sum(map(np.array_equal, ours, first))
        # Relative losses see no bias of the last layer, one for those that are alike.
        assert still <= 2


@pytest.mark.usefixtures("keys_used_twice")
def test_a_step_is_what_the_paper_says(config):
    """Algorithm 1 of Goodfellow et al. (2014), with Radford's networks, plainly."""
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(3))
    images = jax.random.randint(jax.random.key(4), (16, 8, 8, 1), 0, 256, jnp.uint8)
    batch = {"images": images, "labels": jnp.zeros(16, jnp.int32)}
    one = jax.jit(jax.vmap(task.step, axis_name=parallel.AXIS))
    keys = jax.random.key(5)[None]
    ours, _ = one(*jax.tree.map(lambda x: x[None], (state, batch)), keys)

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

    def g_loss(params, theirs):
        return -jnp.mean(jnp.log(d(theirs, generate(params, z_g))))

    adam = optax.adam(1e-3, b1=0.5, b2=0.99)
    g = state.params["generator"]["network"]
    ((_, theirs),) = state.params["discriminators"].items()
    theirs = jax.tree.map(lambda p: p[0], theirs)
    grads = jax.jit(jax.grad(d_loss))(theirs, generate(g, z_d))
    theirs = optax.apply_updates(theirs, adam.update(grads, adam.init(theirs))[0])
    grads = jax.jit(jax.grad(g_loss))(g, theirs)
    g = optax.apply_updates(g, adam.update(grads, adam.init(g))[0])

    ((_, got),) = ours.params["discriminators"].items()
    close = {"rtol": 1e-3, "atol": 2e-5}
    chex.assert_trees_all_close(jax.tree.map(lambda p: p[0, 0], got), theirs, **close)
    got = jax.tree.map(lambda p: p[0], ours.params["generator"]["network"])
    chex.assert_trees_all_close(got, g, **close)


@pytest.mark.usefixtures("keys_used_twice")
@pytest.mark.parametrize(
    "changes",
    [{}, {"minibatch_std": True, "packing": 2, "views": "split"}],
    ids=["plain", "what looks at several images"],
)
def test_two_devices_end_where_one_with_all_of_the_batch_does(config, changes):
    """With latents that do not depend on the device: all the rest may not either."""
    config.update({"d_channels": ((4,), (4,)), "dropout": (0.0, 0.0), "r1": 0.1})
    config.mixing = "softmax"
    config.update(changes)
    task = tasks.make(config)
    state = jax.jit(task.init)(jax.random.key(0))
    images = jax.random.randint(jax.random.key(1), (16, 8, 8, 1), 0, 256, jnp.uint8)
    batch = {"images": images, "labels": jnp.zeros(16, jnp.int32)}
    keys = jax.random.split(jax.random.key(2), 2)

    def run(devices):
        step = jax.vmap(task.step, axis_name=parallel.AXIS, in_axes=(None, 0, None))
        shared = jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:]), batch)
        # The same half of latents for each half of the batch.
        normal = jax.random.normal

        def halves(key, shape, *args):
            if len(shape) == 2 and shape[0] == 16:
                return jnp.concatenate([normal(key, (8, shape[1]), *args)] * 2)
            return normal(key, shape, *args)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(jax.random, "normal", halves)
            return jax.tree.map(lambda x: x[0], jax.jit(step)(state, shared, keys[0]))

    (one, _), (two, _) = run(1), run(2)
    # Not the parameters alone: Adam's first step sees little but the gradients' signs.
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
    assert whole["about"] == {}, "nothing but itself has measured it"
    for name in ("sheet.png", "interpolation.png", "neighbours.png", "training.gif"):
        assert (tmp_path / "cut" / "figures" / name).exists()


def test_the_alarm_sounds_where_all_samples_are_one(config, caplog):
    config.judge = True
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
    assert "step 17: it collapses: samples differ by 0.000" in warning
    assert "as good as 1.0 classes, real images 10.0" in warning


def test_real_images_raise_no_alarm_and_miss_no_mode(config, caplog):
    config.judge = True
    for dataset, kinds in (("digits", 10), ("stacked_digits", 1000)):
        config.dataset = dataset
        train, test = (sources.load(dataset, split) for split in ("train", "test"))
        numbers = pictures.Measures(config, train.images, test)(test.images, 0)
        assert not numbers["collapsed"] and not caplog.messages
        assert numbers["modes"] == kinds
        assert numbers["precision"] > 50 and numbers["recall"] > 50
        assert numbers["kl"] < 0.1


def test_a_generator_that_repeats_its_examples_is_found_out(config):
    """It is at no distance from these, and at the floor's from images held out."""
    config.judge = True
    train, test = (sources.load("digits", split) for split in ("train", "test"))
    examples = train.images[:500]
    numbers = pictures.Measures(config, examples, test)(examples, 0)
    name = "fid_digits_classifier"
    assert abs(numbers[name]) < 1e-3
    floor, held_out = numbers[f"{name}_floor"], numbers[f"{name}_held_out"]
    np.testing.assert_allclose(held_out, floor, rtol=1e-5)
    assert floor > 1
    assert numbers["fid_samples"] == len(test.images) == 360


def test_what_selects_is_measured_at_the_end_as_it_is_before(config):
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
        ({"loss": "wasserstein"}, "config.loss is 'wasserstein'"),
        ({"mixing": "median"}, "config.mixing is 'median'"),
        ({"views": "none"}, "config.views is 'none'"),
        ({"dropout": (0.0, 0.0)}, "need an entry for each discriminator"),
        ({"d_channels": ()}, "need an entry for each discriminator"),
        ({"diff_augment": ("flip",)}, "there are: translation, cutout, colour"),
        ({"smoothing": 0.1, "loss": "hinge"}, "config.loss=hinge has no target"),
        ({"packing": 3}, "do not divide into 3 parts"),
        ({"packing": 2, "conditional": True}, "several images as one have no one"),
        ({"g_channels": (4,) * 4}, "do not end at 8x8"),
        ({"d_steps": 0}, "config.d_steps must be at least 1"),
    ],
)
def test_what_makes_no_game_is_a_line(config, change, why):
    config.update(change)
    with pytest.raises(UserError, match=why.replace("(", r"\(")):
        gan.make(config)


def test_every_choice_is_tried():
    variants = [{}, {"mixing": "softmax"}, *VARIANTS.values(), *MORE.values()]
    for name, default, choices in (
        ("mixing", "mean", losses.RULES),
        ("loss", "non_saturating", losses.LOSSES),
        ("views", "same", inputs.KINDS),
    ):
        assert {variant.get(name, default) for variant in variants} == set(choices)
