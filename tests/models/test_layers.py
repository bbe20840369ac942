"""Both forms of a convolution are one."""

from flax import linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlx.models.cpu_conv import matmul_conv
from dlx.models.layers import Conv, max_pool


@pytest.mark.parametrize(("channels", "out_channels"), [(1, 8), (16, 4), (64, 65)])
@pytest.mark.parametrize("padding", ["SAME", "VALID", 2])
@pytest.mark.parametrize(
    ("kernel", "strides"),
    [((3, 3), 1), ((3, 3), 2), ((4, 4), 2), ((2, 5), (1, 3)), ((1, 1), 2)],
)
def test_matrix_products_are_the_convolution(
    kernel, strides, padding, channels, out_channels
):
    x_key, params_key, y_key = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(x_key, (2, 9, 12, channels))
    conv = nn.Conv(out_channels, kernel, strides=strides, padding=padding)
    products = conv.clone(conv_general_dilated=matmul_conv)
    params = conv.init(params_key, x)
    shape = jax.eval_shape(conv.apply, params, x).shape
    direction = jax.random.normal(y_key, shape)

    def with_gradients(conv):
        def product(params, x):
            y = conv.apply(params, x)
            return jnp.sum(y * direction), y

        grads, y = jax.jit(jax.grad(product, (0, 1), has_aux=True))(params, x)
        return y, grads

    (expected, grads), (y, grads_of_products) = map(with_gradients, (conv, products))
    np.testing.assert_allclose(y, expected, atol=3e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4),
        grads,
        grads_of_products,
    )


def test_the_cpu_gets_products():
    assert Conv(4, (3, 3)).conv_general_dilated is matmul_conv


def test_what_products_cannot_do_is_refused():
    x, kernel = jnp.zeros((1, 5, 5, 2)), jnp.zeros((3, 3, 2, 2))
    with pytest.raises(NotImplementedError):
        matmul_conv(x, kernel, (1, 1), "SAME", rhs_dilation=(2, 2))


@pytest.mark.parametrize("size", [2, 5, 8])
def test_max_pool_is_flax_s(size):
    x = jax.random.normal(jax.random.key(0), (3, size, size + 1, 4))
    expected = nn.max_pool(x, (2, 2), (2, 2))
    np.testing.assert_array_equal(max_pool(x), expected)
    gradient = jax.grad(lambda x: jnp.sum(max_pool(x) ** 2))(x)
    by_flax = jax.grad(lambda x: jnp.sum(nn.max_pool(x, (2, 2), (2, 2)) ** 2))(x)
    np.testing.assert_allclose(gradient, by_flax, rtol=1e-6)


def test_equal_maxima_share_the_gradient_as_in_jnp_max():
    x = jnp.array([[3.0, 3.0], [1.0, 3.0]])
    gradient = jax.grad(lambda x: 6 * jnp.sum(max_pool(x[None, :, :, None])))(x)
    np.testing.assert_allclose(gradient, jax.grad(lambda x: 6 * jnp.max(x))(x))
    np.testing.assert_allclose(gradient, [[2, 2], [0, 2]])
