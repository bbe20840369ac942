"""The reference classifier, which measures generated images."""

import shutil

import jax
import numpy as np
import pytest

from dlx.data import sources
from dlx.errors import UserError
from dlx.generative.measures import reference_classifier

pytestmark = pytest.mark.usefixtures("digits_classifier")


def test_it_classifies_digits_and_is_trained_once(monkeypatch):
    first = reference_classifier.load("digits", None, None)
    monkeypatch.setattr(
        reference_classifier, "train", lambda *_: pytest.fail("trained again")
    )
    reference_classifier.load.cache_clear()  # as in another process
    second = reference_classifier.load("digits", None, None)
    test = sources.load("digits", "test")
    log_probs, features = first(test.images)
    right = 100 * np.mean(np.argmax(log_probs, axis=1) == test.labels)
    assert right > 96 and np.isclose(right, first.accuracy)
    np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, rtol=1e-5)
    assert features.shape == (360, 128) and np.all(features >= 0), "behind a ReLU"
    for a, b in zip((log_probs, features), second(test.images), strict=True):
        np.testing.assert_array_equal(a, b)


def test_its_digest_depends_on_its_parameters_and_is_reported():
    import dataclasses

    from configs import dcgan_digits
    from dlx import tasks
    from dlx.runtime import restore
    from dlx.vision import classifier as classifier_task

    classifier = reference_classifier.load("digits", None, None)
    task = tasks.make(dcgan_digits.get_config())
    assert task.about == {"digits_classifier_sha256": classifier.digest}
    assert len(classifier.digest) == 12
    folder = reference_classifier.cache.folder(reference_classifier.FOLDER)
    (workdir,) = (path for path in folder.glob("digits-*") if path.is_dir())
    run = restore.load(workdir, classifier_task.make, best=False)
    assert (
        reference_classifier.ReferenceClassifier(run, 0.0).digest == classifier.digest
    )
    scale = run.state.scale.replace(mean=run.state.scale.mean + 1e-3)
    other = dataclasses.replace(run, state=run.state.replace(scale=scale))
    assert (
        reference_classifier.ReferenceClassifier(other, 0.0).digest != classifier.digest
    )


def test_another_version_or_machine_has_another_classifier(monkeypatch):
    config = reference_classifier.make_config("digits", None, None)
    names = [reference_classifier._config_digest(config)]
    monkeypatch.setattr(jax, "__version__", "0.0.1")
    names.append(reference_classifier._config_digest(config))
    monkeypatch.setattr(jax, "default_backend", lambda: "abacus")
    names.append(reference_classifier._config_digest(config))
    monkeypatch.setattr(
        reference_classifier, "_TRAINED_BY", reference_classifier._TRAINED_BY[1:]
    )
    names.append(reference_classifier._config_digest(config))
    assert len(set(names)) == 4


def test_logits_are_linear_in_the_features():
    """Log-probabilities differ from the logits by a constant for each image."""
    log_probs, features = reference_classifier.load("digits", None, None)(
        sources.load("digits", "train").images
    )
    x = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    centred = log_probs - log_probs.mean(axis=1, keepdims=True)
    fit = x @ np.linalg.lstsq(x, centred, rcond=None)[0]
    np.testing.assert_allclose(fit, centred, atol=1e-2)


def _quick(monkeypatch, tmp_path):
    """Trains a classifier for a few steps, in a cache of its own."""
    make_config = reference_classifier.make_config

    def config(*where):
        config = make_config(*where)
        config.num_steps = config.log_steps = config.eval_steps = 20
        config.checkpoint_steps, config.warmup_steps = 20, 5
        return config

    monkeypatch.setattr(reference_classifier, "make_config", config)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    reference_classifier.load.cache_clear()
    return reference_classifier.load("digits", None, None)


def _lose_the_summary(folder):
    (folder / "summary.json").unlink()


def _lose_the_checkpoint(folder):
    shutil.rmtree(folder / "checkpoints")


def _cut_the_checkpoint(folder):
    for file in (folder / "checkpoints").rglob("d/*"):
        file.write_bytes(file.read_bytes()[:100])


@pytest.mark.parametrize(
    "damage", [_lose_the_summary, _lose_the_checkpoint, _cut_the_checkpoint]
)
def test_a_damaged_one_is_trained_again(monkeypatch, tmp_path, damage):
    first = _quick(monkeypatch, tmp_path)
    (folder,) = (tmp_path / "dlx" / "reference_classifiers").glob("digits-*/")
    damage(folder)
    reference_classifier.load.cache_clear()
    second = reference_classifier.load("digits", None, None)
    reference_classifier.load.cache_clear()
    assert second.accuracy == first.accuracy
    images = sources.load("digits", "test").images[:10]
    np.testing.assert_array_equal(first(images)[0], second(images)[0])


def test_missing_data_are_a_user_error(tmp_path):
    with pytest.raises(UserError, match="no_such_data"):
        reference_classifier.load("no_such_data", str(tmp_path), None)
