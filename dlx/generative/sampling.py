"""Samples of generative models: metrics, sample sheets, interpolations, animations."""

from collections.abc import Callable
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlx import fields
from dlx.generative import interpolation
from dlx.generative.modalities import Modality
from dlx.runtime import memory
from dlx.runtime.task import Task

SHEET, COLUMNS = 64, 8  # samples in a sheet, and in each of its rows
_ROWS = 20  # most classes in the sheet of a conditional generator
_PATHS, _STEPS = 8, 12  # interpolations in a figure, and the steps of each
_BATCH = 500  # samples in one call of the generator
_PAUSE = 8  # frames for which an animation holds its last one

# Precision and recall use each sample's three nearest neighbours.
FIELDS = {"eval_samples": fields.integer(4), "last_eval_samples": fields.integer(4)}

Path = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
Generate = Callable[[Any, jax.Array, jax.Array, jax.Array], jax.Array]


class Sampler:
    """Draws samples from a generator whose latent vectors are normally distributed.

    Attributes:
      modality: The modality of the samples.
      conditional: Whether samples depend on the class.
    """

    def __init__(
        self,
        modality: Modality,
        generate: Generate,
        latents: int,
        forming: Generate | None = None,
        *,
        conditional: bool = False,
    ):
        """Stores the generator.

        Args:
          modality: The modality of the samples.
          generate: (state, z [batch, latents] float32, labels [batch] integers, key) ->
            [batch, height, width, channels] float32.
          latents: The number of latent dimensions.
          forming: Like `generate`, with an axis [frames] before the others: samples as
            they form, if they form step by step.
          conditional: Whether samples depend on the class.
        """
        self.modality, self.conditional = modality, conditional
        self._generate, self._latents = generate, latents
        self._forming = forming

    def samples(
        self, state: Any, key: jax.Array, number: int, labels: np.ndarray | None = None
    ) -> np.ndarray:
        """Draws samples in batches.

        Args:
          state: The state of training.
          key: The key of the latent vectors.
          number: The number of samples.
          labels: [number] integers. Their classes; by default `labels(number)`.

        Returns:
          [number, height, width, channels] float32.
        """
        size = min(_BATCH, number)
        labels = self.labels(number) if labels is None else labels
        batches = []
        for part, batch_key in enumerate(jax.random.split(key, -(-number // size))):
            z_key, _, generate_key = jax.random.split(batch_key, 3)
            z = jax.random.normal(z_key, (size, self._latents))
            # Equal shapes need only one compiled program.
            classes = np.resize(labels[part * size :][:size], size)
            batches.append(np.asarray(self._generate(state, z, classes, generate_key)))
        return np.concatenate(batches)[:number]

    def labels(self, number: int) -> np.ndarray:
        """Returns labels of all classes in turn, [number] int32."""
        return np.arange(number, dtype=np.int32) % self.modality.num_classes

    def sheet_labels(self) -> np.ndarray:
        """Returns the labels of a sheet: a row for each class if they matter."""
        if not self.conditional:
            return self.labels(SHEET)
        rows = min(self.modality.num_classes, _ROWS)
        return np.arange(rows, dtype=np.int32).repeat(COLUMNS)

    def forming(
        self, state: Any, key: jax.Array, labels: np.ndarray
    ) -> np.ndarray | None:
        """Samples as they form, [frames, number, height, width, channels], or None.

        Args:
          state: The state of training.
          key: The key of the latent vectors.
          labels: [number] integers. The classes.
        """
        if self._forming is None:
            return None
        z_key, _, generate_key = jax.random.split(key, 3)
        z = jax.random.normal(z_key, (len(labels), self._latents))
        return np.asarray(self._forming(state, z, labels, generate_key))

    def interpolations(
        self, state: Any, key: jax.Array, paths: int, steps: int
    ) -> np.ndarray:
        """Interpolates between pairs of random latent vectors, spherically.

        Args:
          state: The state of training.
          key: The key of the latent vectors and labels.
          paths: The number of pairs; both samples of a pair have the same label.
          steps: Samples on each path, including both ends.

        Returns:
          [paths * steps, height, width, channels] float32, one path after the other.
        """
        ends_key, label_key, generate_key = jax.random.split(key, 3)
        ends = jax.random.normal(ends_key, (2, paths, self._latents))
        z = interpolate(interpolation.spherical, *ends, steps)
        labels = self._labels(label_key, paths).repeat(steps)
        return np.asarray(self._generate(state, z, labels, generate_key))

    def _labels(self, key, number):
        return jax.random.randint(key, (number,), 0, self.modality.num_classes)


def interpolate(path: Path, starts, ends, steps: int) -> jax.Array:
    """Interpolates between each start and its end.

    Args:
      path: `interpolation.linear` or `interpolation.spherical`.
      starts: [paths, latents] float32.
      ends: [paths, latents] float32.
      steps: Vectors on each path, including both ends.

    Returns:
      [paths * steps, latents] float32, one path after the other.
    """
    weights = jnp.linspace(0, 1, steps)
    z = jax.vmap(path, in_axes=(0, 0, None))(starts, ends, weights)
    return z.reshape(-1, z.shape[-1])


def evaluate(
    config,
    step: int,
    measure: Callable[[jax.Array, int], dict[str, float]],
    keys: jax.Array,
) -> dict[str, jax.Array]:
    """Measures `eval_samples` samples, and after the last step `last_eval_samples` too.

    Args:
      config: Its eval_samples, last_eval_samples and num_steps are read.
      step: The number of steps trained.
      measure: (key, number of samples) -> {name: number}.
      keys: [2] keys, one for each measurement.

    Returns:
      {name: [] float32}. Names of the second measurement begin with 'last_'.
    """
    key, last_key = keys
    numbers = measure(key, config.eval_samples)
    if step == config.num_steps:
        last = measure(last_key, config.last_eval_samples)
        numbers |= {f"last_{name}": number for name, number in last.items()}
    return {name: jnp.float32(number) for name, number in numbers.items()}


def make_evaluate(config, sampler: Sampler):
    """Returns a task's `evaluate`, which applies the modality's metrics to samples."""

    def task_evaluate(state, key):
        step = int(state.step)

        def measure(key, number):
            samples = sampler.samples(state, key, number)
            labels = sampler.labels(number) if sampler.conditional else None
            return sampler.modality.measure(samples, step, labels)

        return evaluate(config, step, measure, jax.random.split(key))

    return task_evaluate


def make_figures(sampler: Sampler):
    """Returns a task's `figures`: samples, interpolations and the modality's own."""
    modality = sampler.modality

    def figures(state, key):
        sheet_key, paths_key, forming_key = jax.random.split(key, 3)
        labels = sampler.sheet_labels()
        samples = sampler.samples(state, sheet_key, len(labels), labels)
        paths = sampler.interpolations(state, paths_key, _PATHS, _STEPS)
        pictures = {
            "sheet": modality.show(samples, COLUMNS),
            "interpolation": modality.show(paths, _STEPS),
        }
        steps = sampler.forming(state, forming_key, labels)
        if steps is not None:
            frames = [modality.show(frame, COLUMNS) for frame in steps]
            pictures["forming"] = np.stack(frames + frames[-1:] * _PAUSE)
        return pictures | modality.figures(samples)

    return figures


def require_room(config, shape: tuple[int, ...]) -> None:
    """Raises UserError if the samples of an evaluation do not fit into memory.

    Args:
      config: See `evaluate`.
      shape: Of a sample.
    """
    for field in "eval_samples", "last_eval_samples":
        memory.require_on_host(
            2 * 4 * config[field] * math.prod(shape),  # batches, and all of them
            f"config.{field}={config[field]}: samples of {'x'.join(map(str, shape))} "
            "numbers take",
        )


def task(config, sampler: Sampler, **options: Any) -> Task:
    """Makes a task whose evaluation and figures use its samples.

    Args:
      config: See `evaluate`.
      sampler: The sampler; its modality has the training batches.
      options: The task's `init`, `step` and `counts`.

    Raises:
      UserError: if the samples of an evaluation do not fit into memory.
    """
    modality = sampler.modality
    require_room(config, modality.shape)
    return Task(
        evaluate=make_evaluate(config, sampler),
        figures=make_figures(sampler),
        frames=make_frames(sampler),
        metric=modality.metric,
        batches=modality.batches,
        about=modality.about,
        **options,
    )


def make_frames(sampler: Sampler):
    """Returns a task's `frames`: samples of the same latent vectors during training."""

    def frames(state, key):
        labels = sampler.sheet_labels()
        samples = sampler.samples(state, key, len(labels), labels)
        return {"training": sampler.modality.show(samples, COLUMNS)}

    return frames
