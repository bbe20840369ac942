"""Networks by name and import path: the papers' sizes, settings, gradients, filters."""

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import pytest

from dlx import tasks
from dlx.errors import UserError
from dlx.models.cpu_conv import matmul_conv
from dlx.vision import networks

SMALL = {
    "mlp": {"features": (8,)},
    "cnn": {"channels": (4, 8), "features": (8,)},
    "airbench": {"widths": (8, 8)},
    "resnet18": {"widths": (4, 8), "blocks": (1, 1)},
    "resnet20": {"widths": (4, 8), "blocks": (1, 1)},
    "vit": {"width": 12, "depth": 1, "heads": 3},
    "convmixer": {"width": 8, "depth": 1, "kernel": 3},
}


def _images(side=8, channels=3, number=6):
    generator = np.random.default_rng(0)
    return generator.normal(size=(number, side, side, channels)).astype(np.float32)


def _make(name, dtype=jnp.float32, **settings):
    choice = ml_collections.ConfigDict({"name": name} | settings)
    return networks.make(choice, num_classes=10, examples=_images, dtype=dtype)


def _size(network, side=32):
    variables = jax.eval_shape(
        lambda: network.init(
            jax.random.key(0), jnp.zeros((1, side, side, 3)), train=False
        )
    )
    return sum(x.size for x in jax.tree.leaves(variables["params"]))


def test_numbers_of_parameters_are_the_papers():
    # He et al. (2016), table 6: 0.27 M. ResNet-18 with a 3x3 stem and ten classes.
    assert _size(_make("resnet20")) == 269_722
    assert _size(_make("resnet18")) == 11_173_962
    # Patches, token, 65 positions, six blocks of 12 w^2 + 13 w, norm and head.
    w = 192
    blocks = 6 * (12 * w**2 + 13 * w)
    assert _size(_make("vit")) == 49 * w + w + 65 * w + blocks + 2 * w + 10 * w + 10
    # Trockman and Kolter (2022), section 2: patches, then depth x (w k^2 + w^2 + 6 w).
    w = 128
    blocks = 6 * (w * 25 + w**2 + 6 * w)
    assert _size(_make("convmixer")) == 13 * w + 2 * w + blocks + 10 * w + 10


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=lambda d: d.__name__)
@pytest.mark.parametrize("name", networks.NETWORKS)
def test_every_network_trains_with_float32_parameters(name, dtype):
    """Its gradients reach all parameters; statistics and logits are float32."""
    network, x = _make(name, dtype, **SMALL[name]), _images()
    variables = jax.jit(lambda key: network.init(key, x, train=False))(
        jax.random.key(0)
    )
    # A last layer of zeros would stop the gradients.
    params = jax.tree.map(lambda p: p + 0.1, variables["params"])
    rest = {key: value for key, value in variables.items() if key == "batch_stats"}

    @jax.jit
    def step(params):
        def loss(params):
            logits, new = network.apply(
                {"params": params, **rest}, x, train=True, mutable=["batch_stats"]
            )
            return jnp.sum(logits[:, 0] - 0.5 * logits[:, 1]) + jnp.sum(logits**2), (
                logits,
                new,
            )

        return jax.grad(loss, has_aux=True)(params)

    grads, (logits, new) = step(params)
    assert logits.shape == (6, 10)
    for leaf in jax.tree.leaves((params, grads, new, logits)):
        assert leaf.dtype == jnp.float32
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(grads))
    filters = networks.first_filters(params, x.shape[1:])
    assert filters.shape[2] == 3


def test_a_network_that_sees_no_pixels_has_no_filters():
    assert (
        networks.first_filters({"Dense_0": {"kernel": jnp.zeros((5, 2))}}, (8, 8, 3))
        is None
    )


@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise_convolution_equals_the_primitive(stride):
    x = jnp.asarray(_images(9, 5))
    kernel = jnp.asarray(
        np.random.default_rng(1).normal(size=(3, 3, 1, 5)), jnp.float32
    )

    def both(convolution):
        def total(x, kernel):
            y = convolution(
                x, kernel, (stride, stride), "SAME",
                dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=5,
            )  # fmt: skip
            return jnp.sum(jnp.sin(y)), y

        return jax.grad(total, (0, 1), has_aux=True)(x, kernel)

    ours, theirs = both(matmul_conv), both(jax.lax.conv_general_dilated)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), ours, theirs)


def test_settings_of_another_network_are_left_out():
    network = networks.make(
        "vit",
        num_classes=10,
        examples=_images,
        channels=(4,),
        features=(8,),
        dropout=0.5,
    )
    assert network.dropout == 0.5 and network.depth == 6


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("rnn", "config.network is 'rnn'; choose one of: mlp, cnn, airbench"),
        ({"name": "vit", "dpeth": 4}, "vit has no setting 'dpeth'; it has: depth, "),
        ({"name": "vit", "depth": 0}, "config.network.depth must be an integer in 1"),
        ({"name": "resnet18", "widths": (8, 0)}, "config.network.widths must be a row"),
        ({"name": "cnn", "dropout": 1.0}, "config.network.dropout must be"),
        ("nowhere.Net", "nowhere.Net cannot be imported"),
    ],
)
def test_invalid_choices_are_one_line(choice, message):
    with pytest.raises(UserError, match=message):
        networks.make(choice, num_classes=10, examples=_images)


@pytest.fixture
def config():
    from configs import mlp_mnist

    config = mlp_mnist.get_config()
    config.dataset = "digits"
    config.num_steps, config.log_steps, config.warmup_steps = 4, 2, 0
    config.eval_steps = config.checkpoint_steps = 4
    return config


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({"name": "vit", "patch": 3}, "patches of 3x3 do not tile 8x8 images"),
        ({"name": "vit", "heads": 5}, "5 heads do not divide a width of 192"),
        ({"name": "resnet18", "blocks": (1,)}, "need an entry for each stage"),
        ("airbench", "widths=.* are too many groups"),
    ],
)
def test_a_network_that_does_not_fit_the_images_is_refused(network, message, config):
    with config.ignore_type():
        config.network = network
    with pytest.raises(UserError, match=message):
        tasks.make(config)


MODULE = """
from flax import linen as nn


class Linear(nn.Module):
    num_classes: int
    scale: float = 1.0

    @nn.compact
    def __call__(self, images, *, train):
        return self.scale * nn.Dense(self.num_classes)(images.reshape(len(images), -1))
"""


def test_a_users_own_module_by_import_path(config, tmp_path, monkeypatch):
    from dlx.runtime import loop, restore

    (tmp_path / "my_networks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    config.num_steps, config.log_steps, config.ema_decay = 100, 50, 0.0
    config.eval_steps = config.checkpoint_steps = 100
    with config.ignore_type():
        config.network = {"name": "my_networks.Linear", "scale": 0.5}
    summary = loop.train(tasks.make(config), config, tmp_path / "run", name="own")
    assert summary["metrics"]["accuracy"] > 50
    assert (tmp_path / "run/figures/filters.png").exists()
    run = restore.load(tmp_path / "run", tasks.make)
    assert set(run.state.params) == {"Dense_0"}
