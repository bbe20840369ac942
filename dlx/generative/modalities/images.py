"""Images as a modality: [height, width, channels], whose bytes are scaled to -1 ... 1.

The reference classifier (../measures/reference_classifier.py) assigns samples to
classes, and distances are measured in its features. The names of these metrics contain
the classifier's name. Each channel of a stacked image is classified separately.
"""

from collections.abc import Sequence
import functools

from absl import logging
import jax
import jax.numpy as jnp
import numpy as np

from dlx import figures as drawing
from dlx.data import batches, sources
from dlx.errors import UserError
from dlx.generative.measures import fid, modes, reference_classifier
from dlx.vision.pretrained import imagenet

_REFERENCE = 10_000  # real images that samples are compared with
_NAMED = 20  # most classes whose accuracies are metrics
_FEWEST = 4  # each image needs three neighbours


class ModeClassifier:
    """Assigns images to modes: classes, or triples of classes of stacked images.

    Attributes:
      name: Name of the reference classifier.
      digest: Digest of the reference classifier, 12 hexadecimal digits.
      names: Names of the classes, by label.
      num_modes: The number of modes; 0 if the classifier does not know the classes.
    """

    def __init__(self, config, names: Sequence[str]):
        """Loads the reference classifier.

        Args:
          config: If its reference_weights are set, they are those of the classifier.
            Otherwise one is trained on `config.dataset` if there is none yet.
          names: Names of the data set's classes.

        Raises:
          UserError: if the data or weights are missing.
        """
        dataset = config.dataset.removeprefix(sources.STACKED)
        if config.get("reference_weights"):
            self._classifier = imagenet.Classifier(config.reference_weights, names)
        else:
            self._classifier = reference_classifier.load(
                dataset, config.data_dir, config.manual_dir, config.get("image_size")
            )
        self._stacked = dataset != config.dataset
        self.name, self.digest = self._classifier.name, self._classifier.digest
        self.names = self._classifier.names
        self._classes = len(self.names)
        self.num_modes = self._classes ** (3 if self._stacked else 1)

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Returns modes [number] integers, confidence [number], features [number, n].

        Args:
          images: [number, height, width, channels] uint8.
        """
        if not self._stacked:
            log_probs, features = self._classifier(images)
            best = np.argmax(log_probs, axis=1)
            return best, np.exp(log_probs.max(axis=1)), features
        mode, confidence, features = 0, 1.0, []
        for channel in range(3):
            log_probs, part = self._classifier(images[..., channel : channel + 1])
            mode = self._classes * mode + np.argmax(log_probs, axis=1)
            confidence = confidence * np.exp(log_probs.max(axis=1))
            features.append(part)
        return mode, confidence, np.concatenate(features, axis=1)


class Measures:
    """Compares samples with real images, and warns of mode collapse.

    Attributes:
      metric: Name of the main metric. Larger values are better.
      about: The digest of the reference classifier, as {name: digest}.
    """

    def __init__(self, config, real: np.ndarray, test: sources.Images):
        """Loads the classifier. Real images are classified at the first measurement.

        Args:
          config: Its dataset, data_dir, manual_dir, reference_classifier and
            reference_weights are read. Without the last two there is no classifier.
          real: [number, height, width, channels] uint8. Training images.
          test: The test split.

        Raises:
          UserError: if the classifier is used and its data are missing.
        """
        wanted = config.get("reference_classifier"), config.get("reference_weights")
        self._classifier = ModeClassifier(config, test.names) if any(wanted) else None
        self._real, self._test = real[:_REFERENCE], test.images[:_REFERENCE]
        self._test_labels = test.labels[:_REFERENCE]
        if self._classifier and min(len(real), len(test.images)) < _FEWEST:
            raise UserError(
                f"config.dataset={config.dataset} has {len(real)} training and "
                f"{len(test.images)} test images; FID, precision and recall need "
                f"{_FEWEST} of each; use more or config.reference_classifier=False"
            )
        stacked = config.dataset.startswith(sources.STACKED)
        self.metric = "modes" if stacked else "minus_fid"
        self.about = {}
        if self._classifier is None:
            self.metric = "distance"
        else:
            self.about[f"{self._classifier.name}_sha256"] = self._classifier.digest

    @functools.cached_property
    def _references(self):
        """The classifier's results for the training and for the test images."""
        return self._classifier(self._real), self._classifier(self._test)

    def __call__(
        self, images: np.ndarray, step: int, labels: np.ndarray | None
    ) -> dict[str, float]:
        """Measures samples.

        Args:
          images: [number, height, width, channels] uint8.
          step: The training step, for the warning.
          labels: [number] integers. The classes of conditional samples, or None.
        """
        distance = modes.pairwise_distance(images / 255)
        numbers = {"samples": len(images), "distance": distance}
        real = modes.pairwise_distance(self._real[: len(images)] / 255)
        warnings = []
        if distance < real / 2:
            warnings.append(f"mean pairwise distance {distance:.3f} (real {real:.3f})")
        if self._classifier:
            mode, confidence, features = self._classifier(images)
            if self._classifier.num_modes:
                numbers |= self._mode_metrics(mode, confidence, warnings)
                numbers |= self._class_metrics(mode, labels)
            numbers |= self._feature_metrics(features)
        numbers["collapsed"] = bool(warnings)
        if warnings:
            logging.warning(
                "step %d: possible mode collapse: %s", step, ", ".join(warnings)
            )
        return numbers

    def _mode_metrics(self, mode, confidence, warnings):
        """Measures mode coverage; may add to the warnings."""
        (real_mode, _, _), _ = self._references
        shares = modes.shares(mode, self._classifier.num_modes)
        real_shares = modes.shares(real_mode[: len(mode)], self._classifier.num_modes)
        # exp(entropy) is the number of equally frequent classes of that entropy.
        effective, real = (np.exp(modes.entropy(x)) for x in (shares, real_shares))
        if effective < real / 2:
            warnings.append(f"effective classes {effective:.1f} (real {real:.1f})")
        return {
            "modes": modes.covered(shares),
            "kl": modes.kl_to_uniform(shares),
            "entropy": modes.entropy(shares),
            "least_share": 100 * shares.min(),
            "most_share": 100 * shares.max(),
            "confidence": 100 * np.mean(confidence),
        }

    def _class_metrics(self, mode, labels):
        """Shares of conditional samples that the classifier assigns to their class.

        This is GAN-test of Shmelkov et al. (2018, section 3). The share of held-out
        images is beside it.
        """
        if labels is None:
            return {}
        _, (test_mode, _, _) = self._references
        right = mode == labels
        numbers = {
            "class_accuracy": 100 * np.mean(right),
            "class_accuracy_held_out": 100 * np.mean(test_mode == self._test_labels),
        }
        if len(names := self._classifier.names) == self._classifier.num_modes <= _NAMED:
            for label, name in enumerate(names):
                numbers[f"class_accuracy_{name}"] = 100 * np.mean(
                    right[labels == label]
                )
        return numbers

    def _feature_metrics(self, features):
        (_, _, train), (_, _, test) = self._references
        n = fid.comparable(train, test, features)
        precision, recall = fid.precision_recall(train[:n], features[:n])
        frechet = fid.comparisons(train, test, features, fid.frechet_distance)
        kernel = fid.comparisons(train, test, features, fid.kernel_distance)
        name = self._classifier.name
        return {
            **{f"fid_{name}{suffix}": number for suffix, number in frechet.items()},
            **{f"kid_{name}{suffix}": number for suffix, number in kernel.items()},
            "fid_samples": n,
            "precision": 100 * precision,
            "recall": 100 * recall,
            "minus_fid": -frechet[""],
        }


class Images:
    """Images; see `dlx.generative.modalities.Modality`.

    Attributes:
      real: The training images, [number, height, width, channels] uint8.
      test: The test split.
    """

    output = "tanh"

    def __init__(self, config):
        """Loads `config.dataset`. Raises UserError if the data are missing."""
        self.test = batches.evaluated(config)
        self.batches, self.real = batches.of_images(
            config, at_once=config.get("d_steps", 1)
        )
        self.shape = self.test.images.shape[1:]
        self.num_classes = len(self.test.names)
        self._measures = Measures(config, self.real, self.test)
        self.metric, self.about = self._measures.metric, self._measures.about

    def to_network(self, batch: dict[str, jax.Array]) -> jax.Array:
        return batch["images"].astype(jnp.float32) / 127.5 - 1

    def measure(
        self, samples: np.ndarray, step: int, labels: np.ndarray | None = None
    ) -> dict[str, float]:
        return self._measures(to_bytes(samples), step, labels)

    def show(self, samples: np.ndarray, columns: int) -> np.ndarray:
        return drawing.sheet(to_bytes(samples), columns)

    def figures(self, samples: np.ndarray) -> dict[str, np.ndarray]:
        """Returns 'neighbours': samples beside their nearest training images."""
        chosen = np.linspace(0, len(samples), 8, endpoint=False).astype(int)
        images = to_bytes(samples[chosen])  # of all rows, as these may be classes
        rows = [np.stack([image, *_nearest(image, self.real, 7)]) for image in images]
        return {"neighbours": drawing.sheet(np.concatenate(rows), 8)}


def to_bytes(samples: np.ndarray) -> np.ndarray:
    """Scales images of the network's range, -1 ... 1, to bytes."""
    return np.uint8(np.round(127.5 * (samples + 1)))


def _nearest(image, real, number):
    """Returns the real images with the least squared difference, nearest first."""
    real = real[:_REFERENCE]
    difference = real.astype(np.float32) - image
    order = np.argsort(np.mean(difference**2, axis=(1, 2, 3)))
    return real[order[:number]]
