"""Checkpoints come back as they were, or are told from those that do not."""

import errno
import json
import shutil

from flax import struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp
import pytest

from dlx.errors import UserError
from dlx.runtime import digests, reader
from dlx.runtime.checkpoint import Checkpoints


@struct.dataclass
class State:
    step: jax.Array
    params: dict
    opt_state: optax.OptState


def _state(step, width=300):
    params = {"w": jnp.arange(width, dtype=jnp.float32) * step, "b": jnp.ones((2, 3))}
    return State(jnp.int32(step), params, optax.adam(0.1).init(params))


def _abstract(state):
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=device), state
    )


def _save(directory, scores, keep=2):
    with Checkpoints(directory, "m", keep=keep) as checkpoints:
        for step, score in scores.items():
            metrics = None if score is None else {"m": score}
            checkpoints.save(step, _state(step), metrics, {"at": step})


def _restore(directory, **options):
    with Checkpoints(directory, "m", **options) as checkpoints:
        return checkpoints.restore(_abstract(_state(1)))


def test_the_newest_few_and_the_best_are_kept(tmp_path):
    _save(tmp_path, {1: 0.1, 2: 0.9, 3: 0.9, 4: 0.5, 5: None, 6: 0.2})
    with Checkpoints(tmp_path, "m", read_only=True) as checkpoints:
        assert checkpoints.steps() == [3, 5, 6], "of equals the newer is the best"
        step, _, notes = checkpoints.restore(_abstract(_state(1)), best=True)
        assert step == 3 and notes == {"at": 3}


def test_what_is_no_number_is_never_the_best(tmp_path):
    _save(tmp_path, {1: float("nan"), 2: 0.5, 3: 0.9, 4: 0.2, 5: float("inf")}, keep=1)
    with Checkpoints(tmp_path, "m", read_only=True) as checkpoints:
        assert checkpoints.steps() == [3, 5]
        assert checkpoints.restore(_abstract(_state(1)), best=True)[0] == 3
    files = tmp_path.rglob("evaluation.json")
    assert {json.loads(file.read_text())["m"] for file in files} == {0.9, None}


def test_an_evaluation_may_follow_the_checkpoint(tmp_path):
    with Checkpoints(tmp_path, "m", keep=1) as checkpoints:
        for step, score in {1: 0.1, 2: 0.9, 3: 0.5, 4: 0.3}.items():
            checkpoints.save(step, _state(step), None, {"at": step})
            assert checkpoints.metrics(step) is None
            checkpoints.evaluated(step, {"m": score})
    with Checkpoints(tmp_path, "m", read_only=True) as checkpoints:
        assert checkpoints.steps() == [2, 4]
        assert checkpoints.metrics(2) == {"m": 0.9}
        assert checkpoints.restore(_abstract(_state(1)), best=True)[0] == 2


def test_what_comes_back_is_what_was_saved(tmp_path):
    _save(tmp_path, {7: 0.0})
    step, state, _ = _restore(tmp_path)
    assert step == 7
    assert jax.tree.structure(state) == jax.tree.structure(_state(7))
    jax.tree.map(np.testing.assert_array_equal, state, _state(7))


def test_an_empty_folder_holds_none(tmp_path):
    assert _restore(tmp_path / "new") is None
    assert _restore(tmp_path / "other", read_only=True) is None
    assert not (tmp_path / "other").exists()


def _files(directory, step):
    files = [f for f in (directory / str(step)).rglob("*") if f.is_file()]
    return sorted(files, key=lambda f: -f.stat().st_size)


def _truncate(directory, step):
    for file in _files(directory, step):
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flip(directory, step):
    (data,) = (directory / str(step) / "state" / "d").iterdir()
    contents = bytearray(data.read_bytes())
    contents[len(contents) // 2] ^= 1
    data.write_bytes(contents)


def _lose(directory, step):
    for file in _files(directory, step)[:2]:
        file.unlink()


@pytest.mark.parametrize("damage", [_truncate, _flip, _lose])
def test_a_damaged_one_is_passed_over_and_saved_anew(tmp_path, damage, caplog):
    _save(tmp_path, {1: 0.1, 2: 0.2, 3: 0.3}, keep=3)
    damage(tmp_path, 3)
    step, state, _ = _restore(tmp_path, keep=3)
    assert step == 2
    jax.tree.map(np.testing.assert_array_equal, state, _state(2))
    said = [record.getMessage() for record in caplog.records]
    assert any("checkpoint 3 is damaged" in line for line in said)
    assert any("resuming from checkpoint 2" in line for line in said)
    assert (tmp_path / "damaged" / "3-0" / "state").is_dir(), "nothing is deleted"
    _save(tmp_path, {3: 0.3}, keep=3)
    assert _restore(tmp_path, keep=3)[0] == 3


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        PermissionError(errno.EACCES, "Permission denied"),
        MemoryError("no more"),
        jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory"),
        ValueError("PERMISSION_DENIED: Error opening zarr driver"),
        ValueError("UNKNOWN: Error reading [OS error 5: EIO Input/output error]"),
    ],
)
def test_what_cannot_be_read_now_is_no_damage(tmp_path, error, monkeypatch):
    _save(tmp_path, {1: 0.1, 2: 0.2})
    before = sorted(tmp_path.rglob("*"))

    def fail(*_, **__):
        raise error

    with (
        Checkpoints(tmp_path, "m", keep=2) as checkpoints,
        monkeypatch.context() as patch,
        pytest.raises(type(error), match=str(error).replace("[", r"\[")),
    ):
        patch.setattr(ocp.Checkpointer, "restore", fail)
        checkpoints.restore(_abstract(_state(1)))
    assert sorted(tmp_path.rglob("*")) == before
    assert _restore(tmp_path)[0] == 2


def test_damage_that_orbax_wraps_is_damage(tmp_path, monkeypatch):
    """It does so if the folder with the arrays' bytes is missing."""

    def fail(*_, **__):
        raise Exception("while reading") from ValueError("FAILED_PRECONDITION: cut")

    monkeypatch.setattr(ocp.Checkpointer, "restore", fail)
    with pytest.raises(reader.DamagedError, match="FAILED_PRECONDITION: cut"):
        reader.read(tmp_path)


def test_any_part_of_a_checkpoint_may_be_missing(tmp_path):
    """Whole folders too, which another error of Orbax tells than one file."""
    whole = tmp_path / "whole"
    _save(whole, {1: 0.1, 2: 0.2})
    parts = [path.relative_to(whole) for path in (whole / "2").rglob("*")]
    assert len(parts) > 10
    restored = set()
    for number, part in enumerate(parts):
        folder = tmp_path / str(number)
        shutil.copytree(whole, folder)
        if (folder / part).is_dir():
            shutil.rmtree(folder / part)
        else:
            (folder / part).unlink()
        restored.add(_restore(folder, keep=2)[0])
    assert restored == {1, 2}, "not every file matters"


def test_every_changed_byte_of_a_description_is_damage(tmp_path):
    """Not another network, which a changed name or shape would look like."""
    _save(tmp_path, {1: 0.1})
    file = tmp_path / "1" / "about" / "metadata"
    content = file.read_bytes()
    for place in range(0, len(content), 40):
        changed = bytearray(content)
        changed[place] ^= 1
        file.write_bytes(changed)
        with pytest.raises(UserError, match=r"every checkpoint in .* is damaged"):
            _restore(tmp_path, read_only=True)


def test_reading_only_removes_nothing(tmp_path):
    _save(tmp_path, {1: 0.1, 2: 0.2})
    _truncate(tmp_path, 2)
    before = sorted(tmp_path.rglob("*"))
    assert _restore(tmp_path, read_only=True)[0] == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_all_damaged(tmp_path):
    _save(tmp_path, {1: 0.1, 2: 0.2})
    _truncate(tmp_path, 1)
    _truncate(tmp_path, 2)
    with pytest.raises(UserError, match=r"every checkpoint in .* is damaged"):
        _restore(tmp_path)
    assert (tmp_path / "2").exists()


def test_another_structure_is_named(tmp_path):
    _save(tmp_path, {1: 0.1})
    with (
        Checkpoints(tmp_path, "m") as checkpoints,
        pytest.raises(
            UserError, match=r"params\.w is float32\[300\] there, float32\[400\] by"
        ),
    ):
        checkpoints.restore(_abstract(_state(1, width=400)))


def test_more_than_is_wanted_is_another_structure(tmp_path):
    _save(tmp_path, {1: 0.1})
    wanted = _state(1)
    wanted = wanted.replace(params={"w": wanted.params["w"]})
    before = sorted(tmp_path.rglob("*"))
    with (
        Checkpoints(tmp_path, "m") as checkpoints,
        pytest.raises(
            UserError,
            match=r"params\.b is float32\[2, 3\] there, nothing by this config",
        ),
    ):
        checkpoints.restore(_abstract(wanted))
    assert sorted(tmp_path.rglob("*")) == before


def test_the_digest_sees_a_single_bit():
    params = _state(1).params
    other = params | {"w": params["w"].at[5].set(np.nextafter(np.float32(5), 6))}
    assert digests.digest(params) == digests.digest(jax.device_get(params))
    assert digests.digest(params) != digests.digest(other)
    assert digests.digest(params) != digests.digest({"v": params["w"]})
