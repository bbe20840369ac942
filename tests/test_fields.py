"""Valid values of config fields: the vocabulary, and that every field has a range."""

import math

import ml_collections
import pytest

from dlx import fields, tasks
from dlx.errors import UserError
from dlx.runtime import checks

NOT_FINITE = math.nan, math.inf, -math.inf


@pytest.mark.parametrize(
    ("field", "valid", "invalid"),
    [
        (fields.integer(), [1, 2**31 - 1], [0, -1, 2**31, 1.0, True, None, "1", (1,)]),
        (fields.integer(0, 3), [0, 3], [-1, 4]),
        (fields.real(), [-1e300, 0, 1.5], [*NOT_FINITE, "x", None, True, (1.0,)]),
        (fields.real(0, 1), [0, 0.5, 1], [-1e-9, 1 + 1e-9, *NOT_FINITE]),
        (fields.real(above=0, below=1), [1e-9, 0.9], [0, 1, *NOT_FINITE]),
        (fields.choice("a", "b"), ["a", "b"], ["c", None, ["a"], 0]),
        (fields.flag(), [True, False], [0, 1, None, "True"]),
        (fields.text(), ["", "x"], [None, 1]),
        (fields.row(fields.integer()), [(), (1,), [1, 2]], [(0,), 1, "1", None, {1}]),
        (fields.row(fields.integer(), 2, 2), [(1, 2)], [(), (1,), (1, 2, 3)]),
        (fields.row(fields.integer(), 1), [(1,), (1, 2)], [()]),
        (fields.table(fields.real(0)), [{}, {"a": 0.0}], [{"a": -1}, (), None]),
        (fields.group(), [{}, {"a": 1}], [None, 1, "x", ()]),
        (fields.optional(fields.integer()), [None, 1], [0, "x"]),
    ],
)
def test_a_field_accepts_its_values_alone(field, valid, invalid):
    assert all(map(field.accepts, valid))
    assert not any(map(field.accepts, invalid))


def test_the_message_names_field_range_and_value():
    config = ml_collections.ConfigDict({"discount": 1.5, "rows": (1, 0)})
    with pytest.raises(UserError) as error:
        fields.check(config, {"discount": fields.real(0, 1)})
    assert str(error.value) == (
        "config.discount must be a finite number, at least 0 and at most 1, got 1.5"
    )
    with pytest.raises(UserError, match="a row of 2 entries, each an integer in 1"):
        fields.check(config, {"rows": fields.row(fields.integer(), 2, 2)})


def test_a_field_that_an_older_config_lacks_is_skipped():
    fields.check(ml_collections.ConfigDict({}), {"new": fields.integer()})


def test_no_range_of_any_task_has_a_number_that_is_not_finite():
    for name in tasks.OURS:
        module = tasks.module({"task": name})
        for field, values in (tasks.fields_of(module) | checks.FIELDS).items():
            if field == "env":
                continue  # the environment checks its own
            for number in NOT_FINITE:
                assert not values.accepts(number), (name, field, number)
                assert not values.accepts((number,)), (name, field, number)
                assert not values.accepts({"a": number}), (name, field, number)


@pytest.mark.parametrize(
    ("task", "field", "value"),
    [
        ("policy_gradient", "learning_rate", -1.0),
        ("policy_gradient", "discount", -1.0),
        ("policy_gradient", "discount", 1.5),
        ("policy_gradient", "max_grad_norm", 0.0),
        ("classifier", "dropout", 128.0),
        ("classifier", "label_smoothing", 2.0),
        ("classifier", "ema_decay", math.nan),
        ("classifier", "shift", -1),
        ("airbench", "learning_rate", 0.0),
        ("airbench", "bias_scale", 0.0),
        ("airbench", "patch", 0),
        ("dqn", "target_rate", 1.1),
        ("gan", "ema_decay", math.nan),
        ("gan", "g_kernel", (3,)),
        ("gan", "dropout", 0.5),
        ("gan", "eval_samples", 3),
        ("style", "blends", (1.0,)),
        ("style", "style_layers", {"fire2": math.nan}),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_before_anything_is_built(
    task, field, value
):
    config = ml_collections.ConfigDict({"task": task, field: value})
    with pytest.raises(UserError, match=f"^config.{field} must be .*, got "):
        tasks.make(config)
