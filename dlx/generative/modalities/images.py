"""Pictures to be generated: [height, width, channels], bytes as -1 ... 1.

A judge (../measures/reference_classifier.py) says which class a sample is of, and gives
the features that distances are measured in: names of measures say whose features they
are. Of stacked images each colour is judged by itself.
"""

import functools

from absl import logging
import jax
import jax.numpy as jnp
import numpy as np

from dlx import figures as drawing
from dlx.data import batches, sources
from dlx.generative.measures import fid, modes
from dlx.generative.measures import reference_classifier as judging

_REFERENCE = 10_000  # real images that samples are compared with


class Judge:
    """What a classifier makes of images, plain or stacked.

    Attributes:
      name: Of whose features these are.
      digest: Of its parameters, 12 hexadecimal digits.
      num_modes: How many kinds of images there are.
    """

    def __init__(self, config):
        """Gets, or trains, the classifier of `config.dataset`.

        Raises:
          UserError: where the data cannot be had.
        """
        dataset = config.dataset.removeprefix(sources.STACKED)
        self._judge = judging.load(dataset, config.data_dir, config.manual_dir)
        self._stacked = dataset != config.dataset
        self.name = f"{dataset.replace('/', '_')}_classifier"
        self.digest = self._judge.digest
        self._classes = len(self._judge.names)
        self.num_modes = self._classes ** (3 if self._stacked else 1)

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Modes [number] integers, confidence [number] and features [number, width].

        Args:
          images: [number, height, width, channels] uint8.
        """
        if not self._stacked:
            log_probs, features = self._judge(images)
            best = np.argmax(log_probs, axis=1)
            return best, np.exp(log_probs.max(axis=1)), features
        mode, confidence, features = 0, 1.0, []
        for colour in range(3):
            log_probs, some = self._judge(images[..., colour : colour + 1])
            mode = self._classes * mode + np.argmax(log_probs, axis=1)
            confidence = confidence * np.exp(log_probs.max(axis=1))
            features.append(some)
        return mode, confidence, np.concatenate(features, axis=1)


class Measures:
    """Measures samples against real images, and warns where they are all alike.

    Attributes:
      metric: The name of the measure that matters most; more is better.
      about: Whose features these are, as {name: digest}.
    """

    def __init__(self, config, real: np.ndarray, test: sources.Images):
        """Looks at nothing yet.

        Args:
          config: Its dataset, data_dir, manual_dir and judge.
          real: Training images, [number, height, width, channels] uint8.
          test: The test split.

        Raises:
          UserError: where a judge is wanted and its data cannot be had.
        """
        self._judge = Judge(config) if config.judge else None
        self._real, self._test = real[:_REFERENCE], test.images[:_REFERENCE]
        stacked = config.dataset.startswith(sources.STACKED)
        self.metric = "modes" if stacked else "minus_fid"
        self.about = {}
        if self._judge is None:
            self.metric = "distance"
        else:
            self.about[f"{self._judge.name}_sha256"] = self._judge.digest

    @functools.cached_property
    def _looked(self):
        """What the judge makes of the training and of the test images."""
        return self._judge(self._real), self._judge(self._test)

    def __call__(self, images: np.ndarray, step: int) -> dict[str, float]:
        """Measures samples.

        Args:
          images: [number, height, width, channels] uint8.
          step: Of training; for the warning.
        """
        distance = modes.pairwise_distance(images / 255)
        numbers = {"samples": len(images), "distance": distance}
        usual = modes.pairwise_distance(self._real[: len(images)] / 255)
        alarms = []
        if distance < usual / 2:
            alarms.append(f"samples differ by {distance:.3f}, real images {usual:.3f}")
        if self._judge:
            more, alarm = self._judged(images)
            numbers |= more
            alarms += alarm
        numbers["collapsed"] = bool(alarms)
        if alarms:
            logging.warning("step %d: it collapses: %s", step, "; ".join(alarms))
        return numbers

    def _judged(self, images):
        (seen, _, train), (_, _, test) = self._looked
        mode, confidence, features = self._judge(images)
        shares = modes.shares(mode, self._judge.num_modes)
        kinds = np.exp(modes.entropy(shares))
        usual = modes.shares(seen[: len(images)], self._judge.num_modes)
        usual = np.exp(modes.entropy(usual))
        alarms = []
        if kinds < usual / 2:
            alarms.append(f"as good as {kinds:.1f} classes, real images {usual:.1f}")
        n = fid.comparable(train, test, features)
        precision, recall = fid.precision_recall(train[:n], features[:n])
        three = train, test, features
        frechet = fid.comparisons(*three, fid.frechet_distance)
        kernel = fid.comparisons(*three, fid.kernel_distance)
        name = self._judge.name
        numbers = {
            "modes": modes.covered(shares),
            "kl": modes.kl_to_uniform(shares),
            "entropy": modes.entropy(shares),
            "least_share": 100 * shares.min(),
            "most_share": 100 * shares.max(),
            "confidence": 100 * np.mean(confidence),
            **{f"fid_{name}{what}": distance for what, distance in frechet.items()},
            **{f"kid_{name}{what}": distance for what, distance in kernel.items()},
            "fid_samples": n,
            "precision": 100 * precision,
            "recall": 100 * recall,
            "minus_fid": -frechet[""],
        }
        return numbers, alarms


class Pictures:
    """See `dlx.generative.modalities.Kind`."""

    output = "tanh"

    def __init__(self, config):
        """Reads `config.dataset`.

        Raises:
          UserError: where it cannot be had.
        """
        where = config.data_dir, config.manual_dir, config.image_size
        test = sources.load(config.dataset, "test", *where)
        self.batches, self._real = batches.of_images(config, at_once=config.d_steps)
        self.shape = test.images.shape[1:]
        self.num_classes = len(test.names)
        self._measures = Measures(config, self._real, test)
        self.metric, self.about = self._measures.metric, self._measures.about

    def units(self, batch: dict[str, jax.Array]) -> jax.Array:
        return batch["images"].astype(jnp.float32) / 127.5 - 1

    def measure(self, samples: np.ndarray, step: int) -> dict[str, float]:
        return self._measures(_bytes(samples), step)

    def show(self, samples: np.ndarray, columns: int) -> np.ndarray:
        return drawing.sheet(_bytes(samples), columns)

    def figures(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        """'neighbours': samples beside the real images closest to them."""
        some = _bytes(samples[:8])
        rows = [np.stack([one, *_closest(one, self._real, 7)]) for one in some]
        return {"neighbours": drawing.sheet(np.concatenate(rows), 8)}


def _bytes(samples):
    return np.uint8(np.round(127.5 * (samples + 1)))


def _closest(image, real, number):
    """The real images with the least squared difference, the closest first."""
    real = real[:_REFERENCE]
    difference = real.astype(np.float32) - image
    order = np.argsort(np.mean(difference**2, axis=(1, 2, 3)))
    return real[order[:number]]
