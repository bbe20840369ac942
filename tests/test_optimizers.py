"""Optimisers and schedules against their equations; settings; errors."""

import itertools

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest

from dlx import optimizers
from dlx.errors import UserError

PARAMS = {"kernel": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.array([1.0, 2.0])}
GRADS = {"kernel": jnp.array([[0.3, -0.1], [2.0, 1.0]]), "bias": jnp.array([4.0, -1.0])}


def _choice(name, **settings):
    return ml_collections.ConfigDict({"name": name} | settings)


def _after(tx, updates=3):
    """Parameters after a few updates with the same gradients."""

    @jax.jit
    def update(params, state):
        step, state = tx.update(GRADS, state, params)
        return optax.apply_updates(params, step), state

    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(updates):
        params, state = update(params, state)
    return jax.tree.map(np.asarray, params)


def _rates(schedule, updates=10):
    rate = optimizers.schedule(schedule, 0.8, updates, 4, 0.1)
    return [float(rate(n)) for n in range(updates + 1)]


def test_schedules_by_hand():
    rise = [0.0, 0.2, 0.4, 0.6]
    np.testing.assert_allclose(_rates("constant"), [*rise, *[0.8] * 7], rtol=1e-6)
    falls = np.linspace(0.8, 0.08, 7)
    np.testing.assert_allclose(_rates("linear"), [*rise, *falls], rtol=1e-6)
    share = 0.1 + 0.9 * (1 + np.cos(np.pi * np.arange(7) / 6)) / 2
    np.testing.assert_allclose(_rates("cosine"), [*rise, *0.8 * share], rtol=1e-5)
    assert optimizers.schedule("constant", 0.3, 10) == 0.3
    doubling = optimizers.schedule(lambda count: 2.0**count, 0.5, 10)
    assert [doubling(n) for n in range(3)] == [0.5, 1.0, 2.0]


def _adam(g, w, steps, rate, decay=0.0, b1=0.9, b2=0.999, eps=1e-8):
    """Kingma and Ba (2015), algorithm 1, with decoupled weight decay."""
    m = v = 0.0
    for t in range(1, steps + 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        update = (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        w = w - rate * (update + decay * w)
    return w


def _sgd(g, w, steps, rate, decay, momentum):
    """Nesterov momentum as Sutskever et al. (2013) rewrite it, with an L2 penalty."""
    v = 0.0
    for _ in range(steps):
        gradient = g + decay * w
        v = momentum * v + gradient
        w = w - rate * (gradient + momentum * v)
    return w


def _lion(g, w, steps, rate, decay, b1=0.9, b2=0.99):
    """Chen et al. (2023), algorithm 2."""
    m = 0.0
    for _ in range(steps):
        update = np.sign(b1 * m + (1 - b1) * g)
        w, m = w - rate * (update + decay * w), b2 * m + (1 - b2) * g
    return w


@pytest.mark.parametrize(
    ("name", "equation", "settings"),
    [
        ("adam", _adam, {"b1": 0.5, "eps": 1e-3}),
        ("adamw", _adam, {"decay": 0.1, "b2": 0.9}),
        ("sgd", _sgd, {"decay": 0.1, "momentum": 0.8}),
        ("lion", _lion, {"decay": 0.1, "b2": 0.5}),
    ],
)
def test_updates_follow_the_papers_equations(name, equation, settings):
    own = {k: v for k, v in settings.items() if k != "decay"}
    tx = optimizers.make(
        _choice(name, **own),
        10,
        learning_rate=0.1,
        weight_decay=settings.get("decay", 0),
    )
    for leaf, after in _after(tx).items():
        g, w = (np.asarray(tree[leaf], np.float64) for tree in (GRADS, PARAMS))
        np.testing.assert_allclose(after, equation(g, w, 3, 0.1, **settings), rtol=1e-5)


def test_muon_orthogonalises_kernels_and_leaves_biases_to_adam():
    tx = optimizers.make(_choice("muon", consistent_rms=None), 10, learning_rate=0.1)
    after = _after(tx, 1)
    update = (np.asarray(PARAMS["kernel"]) - after["kernel"]) / 0.1
    # Five Newton-Schulz steps leave singular values in about 0.7 ... 1.2.
    assert np.all(np.abs(np.linalg.svd(update)[1] - 1) < 0.35)
    u, _, v = np.linalg.svd(np.asarray(GRADS["kernel"]))
    assert np.sum(update * (u @ v)) > 1.3, "it points where the gradient does"
    adam = _after(optax.adam(0.1, nesterov=True), 1)
    np.testing.assert_allclose(after["bias"], adam["bias"], rtol=1e-5)
    assert optimizers.make("muon", 3).init({"kernel": jnp.zeros((3, 3, 2, 4))})


def test_weight_decay_of_matrices_spares_biases():
    moved = {
        decayed: _after(
            optimizers.make(
                _choice("adamw", decayed=decayed),
                9,
                weight_decay=0.5,
                learning_rate=0.1,
            )
        )
        for decayed in optimizers.DECAYED
    }
    plain = _after(optimizers.make("adam", 9, learning_rate=0.1))
    np.testing.assert_array_equal(moved["matrices"]["bias"], plain["bias"])
    np.testing.assert_array_equal(moved["matrices"]["kernel"], moved["all"]["kernel"])
    assert np.all(moved["all"]["bias"] != plain["bias"])


def test_gradients_are_clipped_to_their_global_norm():
    tx = optimizers.make(
        _choice("sgd", momentum=0.0), 9, learning_rate=1.0, max_grad_norm=2.0
    )
    moved = jax.tree.map(lambda a, b: a - b, PARAMS, _after(tx, 1))
    np.testing.assert_allclose(optax.tree.norm(moved), 2.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "schedule", "warmup"),
    list(itertools.product(optimizers.OPTIMIZERS, optimizers.SCHEDULES, (0, 3))),
)
def test_every_optimiser_descends_with_every_schedule(name, schedule, warmup):
    rate = {"sgd": 0.05, "muon": 0.4}.get(name, 0.1)
    tx = optimizers.make(
        _choice(name, schedule=schedule, warmup_updates=warmup), 30, learning_rate=rate
    )

    @jax.jit
    def descend(params, state):
        grads = jax.grad(lambda p: optax.tree.norm(p, squared=True))(params)
        step, state = tx.update(grads, state, params)
        return optax.apply_updates(params, step), state

    params, state = PARAMS, tx.init(PARAMS)
    for _ in range(30):
        params, state = descend(params, state)
    assert optax.tree.norm(params) < 0.7 * optax.tree.norm(PARAMS)


def test_a_choice_overrides_the_tasks_settings_and_may_be_an_import_path():
    tx = optimizers.make(
        _choice("adam", learning_rate=0.5, b1=0.0), 9, learning_rate=1.0
    )
    np.testing.assert_allclose(
        _after(tx)["bias"], _after(optax.adam(0.5, b1=0.0))["bias"], rtol=1e-6
    )
    tx = optimizers.make(_choice("optax.adabelief", b1=0.3), 9, learning_rate=0.1)
    np.testing.assert_array_equal(
        _after(tx)["bias"], _after(optax.adabelief(0.1, b1=0.3))["bias"]
    )


def test_settings_of_another_optimiser_are_left_out():
    tx = optimizers.make("sgd", 9, learning_rate=0.1, b1=0.5, momentum=0.0)
    np.testing.assert_allclose(_after(tx, 1)["bias"], [0.6, 2.1], rtol=1e-6)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("adma", r"config.optimizer is 'adma'; choose one of: adam, "),
        (_choice("adam", beta=1), r"adam has no setting 'beta'; it has: b1, b2"),
        (
            _choice("adam", learning_rate=-1.0),
            r"config.optimizer.learning_rate must be .*got -1.0",
        ),
        (_choice("adam", weight_decay=float("nan")), r"weight_decay must be"),
        (
            _choice("adam", schedule="cos"),
            r"schedule must be one of: 'constant', .* got 'cos'",
        ),
        (_choice("adam", warmup_updates=10), r"warm-up of 10 of 10 updates"),
        (
            _choice("adamw", decayed="biases"),
            r"decayed must be one of: 'all', 'matrices', got",
        ),
        ("optax.nothing", r"optax.nothing cannot be imported"),
        ({"b1": 0.5}, r"a choice needs a name"),
    ],
)
def test_errors_are_one_line(choice, message):
    with pytest.raises(UserError, match=message) as error:
        optimizers.make(choice, 10)
    assert "\n" not in str(error.value)


def test_the_moving_average_forgets_its_start_soon():
    average = optimizers.moving_average(1.0, 0.0, 0.9, jnp.int32(0))
    assert average == 1.0
    late = optimizers.moving_average(1.0, 0.0, 0.9, jnp.int32(10**6))
    np.testing.assert_allclose(late, 0.1, rtol=1e-5)
