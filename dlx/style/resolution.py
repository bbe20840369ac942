"""One resolution of a picture: its features in tiles, content and style losses."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlx import fields
from dlx.data import images
from dlx.errors import UserError, user_error_in
from dlx.style import losses
from dlx.style.losses import Statistics
from dlx.style.tiling import Tiling
from dlx.vision.pretrained.features import FIELDS as FEATURE_FIELDS
from dlx.vision.pretrained.features import FeatureExtractor

_LAYERS = fields.table(fields.real(0))

FIELDS = FEATURE_FIELDS | {
    "style": fields.text(),
    "content_layers": _LAYERS,
    "style_layers": _LAYERS,
    "content_weight": fields.real(0),
    "style_weight": fields.real(0),
    "variation_weight": fields.real(0),
    "style_loss": fields.choice(*losses.LOSSES),
    "style_scale": fields.real(above=0),
    "keep_colours": fields.flag(),
    "tile": fields.integer(0),
    "margin": fields.integer(0, images.LARGEST),
}


def loss_weights(config) -> dict[str, Any]:
    """Returns the weights of the losses, and of each loss's layers.

    The weights of one loss's layers are normalised to sum 1.

    Raises:
      UserError: if no layer of a loss has a weight above 0.
    """

    def normalised(name):
        layers = config[name]
        total = sum(layers.values())
        if not total > 0:
            raise UserError(f"config.{name} gives no layer a weight above 0")
        return {layer: np.float32(weight / total) for layer, weight in layers.items()}

    return {
        "content": np.float32(config.content_weight),
        "style": np.float32(config.style_weight),
        "variation": np.float32(config.variation_weight),
        "content_layers": normalised("content_layers"),
        "style_layers": normalised("style_layers"),
    }


def total_loss(weights, content, style, variation):
    """Weighted sum of content loss, style loss and total variation."""
    weighted = weights["content"] * content + weights["style"] * style
    return weighted + weights["variation"] * variation


class Resolution:
    """One resolution: extracts features in tiles and computes content and style losses.

    Attributes:
      shape: The picture's height and width.
      tiling: The picture's tiles.
    """

    def __init__(self, config, extractor: FeatureExtractor, shape: tuple[int, int]):
        """Lays out tiles.

        Args:
          config: A config like that of configs/style.py.
          extractor: The network.
          shape: The picture's height and width.

        Raises:
          UserError: if the picture or config.tile is too small for the layers.
        """
        self.shape = shape
        self._config, self._extractor = config, extractor
        self._layers = sorted({*config.content_layers, *config.style_layers})
        extents = {layer: extractor.receptive_fields[layer] for layer in self._layers}
        with user_error_in("config.tile"):
            self.tiling = Tiling(shape, extents.values(), config.tile, config.margin)
        features = jax.eval_shape(
            lambda picture: self._features(extractor.variables, picture),
            jax.ShapeDtypeStruct((*self.tiling.tile_shape, 3), jnp.float32),
        )
        self._owned = {}
        for layer, of_layer in features.items():
            if 0 in of_layer.shape:
                raise UserError(
                    f"a picture of {shape[1]}x{shape[0]} pixels is too small for "
                    f"{layer}; use a larger config.size or fewer config.scales"
                )
            self._owned[layer] = self.tiling.owned(extents[layer], of_layer.shape[:2])

    def _features(self, variables, picture):
        """Features of a tile or a picture: {layer: [height', width', channels]}."""
        if self._config.keep_colours:
            picture = jnp.broadcast_to(
                losses.luminance(picture)[..., None], picture.shape
            )
        features = self._extractor.features(variables, picture[None], self._layers)
        return {layer: of_layer[0] for layer, of_layer in features.items()}

    def content(self, variables, picture) -> dict[str, jax.Array]:
        """Content features of a photo: {layer: [tiles, height', width', channels]}."""

        def of_tile(picture):
            features = self._features(variables, picture)
            return {layer: features[layer] for layer in self._config.content_layers}

        return self.tiling.map(of_tile, picture)

    def statistics(self, variables, picture) -> dict[str, Statistics]:
        """Style statistics of a painting: {layer: Statistics}."""

        def of_tile(picture, owned):
            return self._statistics(self._features(variables, picture), owned, None)

        tiles = self.tiling.map(of_tile, picture, self._owned)
        return jax.tree.map(lambda part: jnp.sum(part, axis=0), tiles)

    def losses(self, fixed, picture, mask, content, targets):
        """Computes a picture's content loss, and its style loss for each painting.

        Args:
          fixed: A dict of the network's 'variables' and the 'weights' of
            `loss_weights`.
          picture: [height, width, 3] float32 in [0, 1].
          mask: [height, width] float32 in [0, 1]. The style's region; None for the
            whole picture.
          content: The photo's features, as returned by `content`.
          targets: The paintings' statistics, a list of results of `statistics`.

        Returns:
          content_loss: [] float32.
          style_losses: [paintings] float32.
        """

        def of_tile(images, owned, content):
            features = self._features(fixed["variables"], images["picture"])
            errors = {
                layer: _squared_error(features[layer], target, owned[layer])
                for layer, target in content.items()
            }
            return errors, self._statistics(features, owned, images["mask"])

        images = {"picture": picture, "mask": mask}
        errors, statistics = jax.tree.map(
            lambda parts: jnp.sum(parts, axis=0),
            self.tiling.map(of_tile, images, self._owned, content),
        )
        weights = fixed["weights"]
        content_loss = sum(
            weight * errors[layer][0] / errors[layer][1]
            for layer, weight in weights["content_layers"].items()
        )
        style_loss = losses.LOSSES[self._config.style_loss]
        style_losses = [
            sum(
                weight * style_loss(statistics[layer], target[layer])
                for layer, weight in weights["style_layers"].items()
            )
            for target in targets
        ]
        return content_loss, jnp.stack(style_losses)

    def _statistics(self, features, owned, mask):
        """Style statistics of the features that a tile owns.

        Each is weighted by the mask at its receptive field's centre.
        """
        statistics = {}
        for layer in self._config.style_layers:
            weights = owned[layer]
            if mask is not None:
                weights = weights * self._mask_at_centres(mask, layer, weights.shape)
            statistics[layer] = losses.statistics(features[layer], weights)
        return statistics

    def covered(self, mask) -> dict[str, jax.Array]:
        """Sums the mask over the features of each style layer: {layer: []}."""

        def of_tile(mask, owned):
            return {
                layer: jnp.sum(
                    owned[layer]
                    * self._mask_at_centres(mask, layer, owned[layer].shape)
                )
                for layer in self._config.style_layers
            }

        return jax.tree.map(jnp.sum, self.tiling.map(of_tile, mask, self._owned))

    def _mask_at_centres(self, mask, layer, shape):
        """The mask at the centre of each receptive field of a layer."""
        field = self._extractor.receptive_fields[layer]
        centre = (field.after - field.before) // 2
        down, across = (
            jnp.minimum(field.stride * np.arange(number) + centre, side - 1)
            for number, side in zip(shape, mask.shape, strict=True)
        )
        return mask[down[:, None], across]


def _squared_error(features, target, owned):
    """Squared error over owned features, and the target's own sum of squares."""
    owned = owned[..., None]
    error = jnp.sum(owned * (features - target) ** 2)
    return error, jnp.sum(owned * target**2)
