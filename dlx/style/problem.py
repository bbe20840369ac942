"""The style-transfer problem: photo, paintings, mask and network at all resolutions."""

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from dlx import paths
from dlx.data import images
from dlx.errors import UserError
from dlx.runtime import memory
from dlx.style import losses
from dlx.style.resolution import Resolution, loss_weights, total_loss
from dlx.vision.pretrained import features

# The least sum of a mask over a layer's features; without any, statistics are 0 / 0.
_LEAST_COVERED = 0.01


class StyleProblem:
    """The photo, the paintings and the network at every resolution.

    Pictures of all resolutions are stored in arrays of the largest resolution's shape.
    A smaller picture occupies the upper left corner.

    Attributes:
      shape: The finished pictures' shape, [blends, height, width, 3].
      fixed: The arrays that every training step takes.
    """

    def __init__(self, config):
        """Loads images and network, and computes the features to be matched.

        Raises:
          UserError: if an image or the network is missing, or the features do not fit
            into memory; in tiles (config.tile) they take less.
        """
        self._config = config
        self._photograph = images.read(config.content)
        self._paintings = [images.read(name) for name in paths.names(config.style)]
        self._blends = _normalised_blends(config, len(self._paintings))
        layers = *config.content_layers, *config.style_layers
        self._extractor = features.load(config, layers)
        factors = [2 ** (-n / 2) for n in reversed(range(config.scales))]
        sides = [config.size * factor for factor in factors]
        self._resolutions = [
            Resolution(config, self._extractor, images.shape_at(self._photograph, side))
            for side in sides
        ]
        self.shape = len(self._blends), *self._resolutions[-1].shape, 3
        mask = images.read(config.mask) if config.mask else None
        self.fixed = {
            "variables": self._extractor.variables,
            "weights": loss_weights(config),
            "resolutions": [
                self._fixed_arrays(resolution, side, mask)
                for resolution, side in zip(self._resolutions, sides, strict=True)
            ],
        }

    def _fixed_arrays(self, resolution, side, mask):
        """The photo, mask, content features and style statistics at one resolution."""
        variables = self._extractor.variables
        photograph = images.resize(self._photograph, resolution.shape)
        if mask:
            mask = losses.luminance(images.resize(mask, resolution.shape))
            self._require_coverage(resolution, mask)
        targets = []
        for painting in self._paintings:
            shape = images.shape_at(painting, side * self._config.style_scale)
            statistics = Resolution(self._config, self._extractor, shape).statistics
            resized = images.resize(painting, shape)
            what = f"the features of a painting of {shape[1]}x{shape[0]} pixels"
            targets.append(memory.run(what, statistics, variables, resized))
        height, width = resolution.shape
        what = f"the features of a photo of {width}x{height} pixels"
        return {
            "photograph": photograph,
            "mask": mask,
            "content": memory.run(what, resolution.content, variables, photograph),
            "targets": targets,
        }

    def _require_coverage(self, resolution, mask):
        """Raises UserError if the mask covers no feature of a style layer."""
        if np.mean(mask) < 0.01:
            raise UserError(
                f"{self._config.mask} is black; the mask must be white in the region "
                "to stylise"
            )
        for layer, covered in jax.jit(resolution.covered)(mask).items():
            if covered < _LEAST_COVERED:
                height, width = resolution.shape
                raise UserError(
                    f"{self._config.mask} covers no feature of {layer} at {width}x"
                    f"{height} pixels; use a larger mask, a larger config.size or "
                    "fewer config.scales"
                )

    def resolution_at(self, step: int | jax.Array) -> int | jax.Array:
        """Returns the index of the resolution at a training step."""
        return step * len(self._resolutions) // self._config.num_steps

    def initial_pictures(self, key: jax.Array) -> jax.Array:
        """Initial pictures of the smallest resolution, in an array of full size."""
        height, width = self._resolutions[0].shape
        small = self.fixed["resolutions"][0]["photograph"]
        if self._config.start == "noise":
            small = jax.random.uniform(key, (len(self._blends), height, width, 3))
        elif self._config.start == "grey":
            small = jnp.full((height, width, 3), 0.5)
        return self.put(
            jnp.zeros(self.shape),
            jnp.broadcast_to(small, (len(self._blends), height, width, 3)),
        )

    def _is_picture(self, leaf):
        return leaf.shape[-4:] == self.shape

    def take(self, tree, index: int):
        """Cuts the pictures of a resolution out of a pytree of full-size pictures.

        Leaves that are not pictures are returned unchanged.
        """
        height, width = self._resolutions[index].shape
        return jax.tree.map(
            lambda leaf: (
                leaf[..., :height, :width, :] if self._is_picture(leaf) else leaf
            ),
            tree,
        )

    def put(self, tree, small):
        """Writes smaller pictures into a pytree of full-size pictures.

        Leaves that are not pictures are taken from `small`.
        """

        def put_leaf(large, small):
            if not self._is_picture(large):
                return small
            return lax.dynamic_update_slice(large, small, [0] * large.ndim)

        return jax.tree.map(put_leaf, tree, small)

    def grow(self, tree, index: int):
        """Resizes the pictures of resolution index - 1 to resolution `index`."""
        height, width = self._resolutions[index].shape

        def grow_leaf(large, small):
            if not self._is_picture(large):
                return small
            shape = *small.shape[:-3], height, width, 3
            return jax.image.resize(small, shape, "linear")

        small = jax.tree.map(grow_leaf, tree, self.take(tree, index - 1))
        return self.put(tree, small)

    def composed(self, fixed, index: int, picture):
        """Applies colour preservation and mask.

        Args:
          fixed: See the attribute.
          index: The resolution.
          picture: [height, width, 3] float32.

        Returns:
          [height, width, 3] float32. The picture, with the photo's colours if
          config.keep_colours is set, and the photo itself outside the mask.
        """
        photograph = fixed["resolutions"][index]["photograph"]
        mask = fixed["resolutions"][index]["mask"]
        if self._config.keep_colours:
            picture = losses.with_colours_of(picture, photograph)
        if mask is None:
            return picture
        return mask[..., None] * picture + (1 - mask[..., None]) * photograph

    def losses(self, fixed, index: int, pictures):
        """Computes the total loss over all blends, and the mean of each term.

        Args:
          fixed: See the attribute.
          index: The resolution.
          pictures: [blends, height, width, 3] float32.

        Returns:
          total: [] float32. The sum over blends.
          means: {'loss', 'content_loss', 'style_loss': [] float32}, over blends.
        """
        arrays = fixed["resolutions"][index]

        def of_picture(picture, blend):
            picture = self.composed(fixed, index, picture)
            content, style = self._resolutions[index].losses(
                fixed, picture, arrays["mask"], arrays["content"], arrays["targets"]
            )
            style = style @ blend
            variation = losses.total_variation(picture)
            loss = total_loss(fixed["weights"], content, style, variation)
            return loss, {"content_loss": content, "style_loss": style}

        totals, terms = jax.vmap(of_picture)(pictures, self._blends)
        means = {name: jnp.mean(term) for name, term in terms.items()}
        return jnp.sum(totals), means | {"loss": jnp.mean(totals)}

    def paintings(self) -> list[np.ndarray]:
        """The paintings at the finished picture's height.

        Returns:
          [height, width, 3] float32 in [0, 1] of each.
        """
        height = self.shape[1]
        resized = []
        for painting in self._paintings:
            width = max(1, round(painting.width * height / painting.height))
            resized.append(images.resize(painting, (height, width)))
        return resized

    def stretched_painting(self) -> np.ndarray:
        """The first painting in the finished picture's shape, [height, width, 3]."""
        return images.resize(self._paintings[0], self.shape[1:3])


def _normalised_blends(config, number):
    """The paintings' weights, [blends, paintings] float32. Every row sums to 1."""
    blends = config.blends or ((1.0,) * number,)
    widths = {len(row) for row in blends}
    if widths != {number} or any(min(row) < 0 or sum(row) <= 0 for row in blends):
        raise UserError(
            f"config.blends={blends} must have rows of {number} weights, one for each "
            "painting"
        )
    blends = np.array(blends, np.float32)
    return blends / blends.sum(axis=1, keepdims=True)
