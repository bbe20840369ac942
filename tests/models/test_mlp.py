"""Sparse inputs give what dense ones give: outputs, gradients, first parameters."""

import chex
import jax
from jax.experimental.sparse import BCOO
import jax.numpy as jnp
import numpy as np

from dlx.models.mlp import MLP


def test_sparse_inputs_are_dense_ones():
    index = jnp.array([[3, 0], [1, 4], [2, 0]])
    value = jnp.array([[1.0, 0.0], [2.0, 1.0], [-1.0, 3.0]])
    sparse = BCOO((value, index[..., None]), shape=(3, 5))
    network, key = MLP((7, 4), layer_norm=True), jax.random.key(0)
    params = network.init(key, sparse.todense())
    same = network.init(jax.random.key(0), sparse)
    jax.tree.map(np.testing.assert_array_equal, params, same)

    def loss(params, x):
        return jnp.sum(network.apply(params, x) ** 2)

    for function in (loss, jax.grad(loss)):
        chex.assert_trees_all_close(
            function(params, sparse), function(params, sparse.todense()), rtol=1e-5
        )
    numpy = jax.device_get(params)  # as a checkpoint has them
    same = jax.jit(lambda x: network.apply(numpy, x))(sparse)
    np.testing.assert_allclose(same, network.apply(params, sparse), rtol=1e-5)
