"""Pictures to be made: what they are of, as what, at every scale, and who looks."""

from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from dlx.data import images
from dlx.errors import UserError, blame
from dlx.style import features as perception
from dlx.style import losses as styles

_LEAST_COVERED = 0.01  # of a feature; statistics of none are 0 / 0


def weights(config) -> dict[str, Any]:
    """What each loss, and each layer in it, counts; a layer's share sums to 1."""

    def shares(layers):
        total = sum(layers.values())
        return {layer: np.float32(weight / total) for layer, weight in layers.items()}

    return {
        "content": np.float32(config.content_weight),
        "style": np.float32(config.style_weight),
        "variation": np.float32(config.variation_weight),
        "content_layers": shares(config.content_layers),
        "style_layers": shares(config.style_layers),
    }


def total(weights, content, style, variation):
    """The losses' weighted sum."""
    weighted = weights["content"] * content + weights["style"] * style
    return weighted + weights["variation"] * variation


class Scale:
    """A size of the picture: what the network sees of it, and how far it is from both.

    Attributes:
      shape: Height and width.
    """

    def __init__(self, config, network: perception.Perception, shape):
        """Lays out windows; a UserError where they, or the picture, are too small."""
        self.shape = shape
        self._config, self._network = config, network
        self._layers = sorted({*config.content_layers, *config.style_layers})
        reaches = [network.reach[layer] for layer in self._layers]
        with blame("config.tile"):
            sides = [side + 2 * config.margin for side in shape]
            down, across = (styles.cut(side, reaches, config.tile) for side in sides)
        self._window = down.length, across.length
        self._corners = np.stack(
            np.meshgrid(down.starts, across.starts, indexing="ij"), axis=-1
        ).reshape(-1, 2)
        self._owned = {}
        sizes = jax.eval_shape(
            lambda picture: self._look(network.variables, picture),
            jax.ShapeDtypeStruct((*self._window, 3), jnp.float32),
        )
        for layer, features in sizes.items():
            if 0 in features.shape:
                raise UserError(
                    f"a picture of {shape[1]}x{shape[0]} pixels is too small for "
                    f"{layer}; a larger config.size or fewer config.scales would do"
                )
            rows = down.owned(network.reach[layer], features.shape[0])
            columns = across.owned(network.reach[layer], features.shape[1])
            owned = np.einsum("ah,bw->abhw", rows, columns)
            self._owned[layer] = owned.reshape(-1, *features.shape[:2])

    def _look(self, variables, picture):
        """{layer: [height', width', channels]} of a window, or of a whole picture."""
        if self._config.keep_colours:
            picture = jnp.broadcast_to(
                styles.luminance(picture)[..., None], picture.shape
            )
        found = self._network.look(variables, picture[None], self._layers)
        return {layer: features[0] for layer, features in found.items()}

    def _over_windows(self, function, whole, *parts):
        """Calls function(window of whole, *parts of that window); results stacked.

        Nothing that one window needs in between is kept for its gradient.
        """

        def one(corner, *parts):
            def crop(image):
                start = (*corner, *[0] * (image.ndim - 2))
                size = (*self._window, *image.shape[2:])
                return lax.dynamic_slice(image, start, size)

            return function(jax.tree.map(crop, whole), *parts)

        margin = self._config.margin

        def framed(image):
            around = [(margin, margin)] * 2 + [(0, 0)] * (image.ndim - 2)
            return jnp.pad(image, around, "reflect")

        whole = jax.tree.map(framed, whole)
        if len(self._corners) == 1:
            first = jax.tree.map(lambda part: part[0], (self._corners, *parts))
            return jax.tree.map(lambda result: result[None], one(*first))
        # Numbers that are known beforehand, and so could be looked at as such.
        everything = jax.tree.map(jnp.asarray, (self._corners, *parts))
        return lax.map(jax.checkpoint(lambda part: one(*part)), everything)

    def content(self, variables, picture):
        """{layer: [windows, height', width', channels]} of the photograph."""

        def features(window):
            found = self._look(variables, window)
            return {layer: found[layer] for layer in self._config.content_layers}

        return self._over_windows(features, picture)

    def differences(self, fixed, picture, mask, content, targets):
        """How far a picture is from the photograph and from each painting.

        Args:
          fixed: The network's 'variables', and 'weights' as from `weights`.
          picture: [height, width, 3] in [0, 1].
          mask: [height, width] in [0, 1], where the style goes; None for everywhere.
          content: As from `content`.
          targets: Of each painting, as from `statistics`.

        Returns:
          [] and [paintings] float32; 0 where it is the same, 1 or about that for none.
        """

        def window(whole, owned, content):
            found = self._look(fixed["variables"], whole["picture"])
            squares = {}
            for layer, wanted in content.items():
                own = owned[layer][..., None]
                error = jnp.sum(own * (found[layer] - wanted) ** 2)
                squares[layer] = error, jnp.sum(own * wanted**2)
            return squares, self._statistics(found, owned, whole["mask"])

        squares, statistics = jax.tree.map(
            lambda parts: jnp.sum(parts, axis=0),
            self._over_windows(
                window, {"picture": picture, "mask": mask}, self._owned, content
            ),
        )
        weights = fixed["weights"]
        far = sum(
            weight * squares[layer][0] / squares[layer][1]
            for layer, weight in weights["content_layers"].items()
        )
        loss = styles.LOSSES[self._config.style_loss]
        from_styles = [
            sum(
                weight * loss(statistics[layer], target[layer])
                for layer, weight in weights["style_layers"].items()
            )
            for target in targets
        ]
        return far, jnp.stack(from_styles)

    def statistics(self, variables, picture):
        """{layer: Statistics} of a painting."""

        def window(picture, owned):
            return self._statistics(self._look(variables, picture), owned, None)

        parts = self._over_windows(window, picture, self._owned)
        return jax.tree.map(lambda part: jnp.sum(part, axis=0), parts)

    def _statistics(self, features, owned, mask):
        """Of a window's own features, each weighted by the mask at its middle."""
        found = {}
        for layer in self._config.style_layers:
            weights = owned[layer]
            if mask is not None:
                weights = weights * self._under(mask, layer, weights.shape)
            found[layer] = styles.statistics(features[layer], weights)
        return found

    def under(self, mask):
        """{layer: how many of its features a mask covers, each by its share}."""

        def window(mask, owned):
            return {
                layer: jnp.sum(
                    owned[layer] * self._under(mask, layer, owned[layer].shape)
                )
                for layer in self._config.style_layers
            }

        return jax.tree.map(jnp.sum, self._over_windows(window, mask, self._owned))

    def _under(self, mask, layer, shape):
        """The mask at the middle of what each of a layer's features sees."""
        reach = self._network.reach[layer]
        middle = (reach.after - reach.before) // 2
        down, across = (
            jnp.minimum(reach.stride * np.arange(number) + middle, side - 1)
            for number, side in zip(shape, mask.shape, strict=True)
        )
        return mask[down[:, None], across]


class Studio:
    """The photograph, the paintings and the network, at every scale.

    Attributes:
      shape: Of the finished picture, [blends, height, width, 3].
      fixed: What a step takes in, the same every time.
    """

    def __init__(self, config):
        """Reads everything; a UserError where one of it cannot be had."""
        self._config = config
        self._photograph = images.read(config.content)
        self._paintings = [images.read(name) for name in config.style.split(",")]
        self._blends = _blends(config, len(self._paintings))
        layers = *config.content_layers, *config.style_layers
        network = perception.load(config, layers)
        smaller = [2 ** (-n / 2) for n in reversed(range(config.scales))]
        sides = [config.size * times for times in smaller]
        self._scales = [
            Scale(config, network, images.shape_at(self._photograph, side))
            for side in sides
        ]
        self.shape = len(self._blends), *self._scales[-1].shape, 3
        mask = images.read(config.mask) if config.mask else None
        self.fixed = {
            "variables": network.variables,
            "weights": weights(config),
            "scales": [
                self._at(scale, side, network, mask)
                for scale, side in zip(self._scales, sides, strict=True)
            ],
        }

    def _at(self, scale, side, network, mask):
        """All of one scale that stays as it is."""
        photograph = images.resize(self._photograph, scale.shape)
        if mask:
            mask = styles.luminance(images.resize(mask, scale.shape))
            if np.mean(mask) < 0.01:
                raise UserError(f"{self._config.mask} is black: the style goes nowhere")
            for layer, number in jax.jit(scale.under)(mask).items():
                if number < _LEAST_COVERED:
                    height, width = scale.shape
                    raise UserError(
                        f"{self._config.mask} covers no feature of {layer} at {width}x"
                        f"{height} pixels: a larger mask, a larger config.size or "
                        "fewer config.scales would do"
                    )
        targets = []
        for painting in self._paintings:
            shape = images.shape_at(painting, side * self._config.style_scale)
            other = Scale(self._config, network, shape)
            painted = images.resize(painting, shape)
            targets.append(jax.jit(other.statistics)(network.variables, painted))
        return {
            "photograph": photograph,
            "mask": mask,
            "content": jax.jit(scale.content)(network.variables, photograph),
            "targets": targets,
        }

    def number(self, step: int | jax.Array) -> int | jax.Array:
        """Which scale is worked on after so many steps."""
        return step * len(self._scales) // self._config.num_steps

    def first(self, key: jax.Array) -> jax.Array:
        """Pictures to begin with, where the smallest scale's stand."""
        height, width = self._scales[0].shape
        small = self.fixed["scales"][0]["photograph"]
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

    def take(self, tree, number: int):
        """The upper left corners that a scale's pictures fill."""
        height, width = self._scales[number].shape
        return jax.tree.map(
            lambda leaf: (
                leaf[..., :height, :width, :] if self._is_picture(leaf) else leaf
            ),
            tree,
        )

    def put(self, tree, small):
        """Puts them back; leaves that are no pictures are taken from `small`."""

        def leaf(large, small):
            if not self._is_picture(large):
                return small
            return lax.dynamic_update_slice(large, small, [0] * large.ndim)

        return jax.tree.map(leaf, tree, small)

    def grow(self, tree, number: int):
        """The scale before, made as large as this one."""
        height, width = self._scales[number].shape

        def leaf(large, small):
            if not self._is_picture(large):
                return small
            shape = *small.shape[:-3], height, width, 3
            return jax.image.resize(small, shape, "linear")

        small = jax.tree.map(leaf, tree, self.take(tree, number - 1))
        return self.put(tree, small)

    def shown(self, fixed, number: int, picture):
        """A picture with the photograph's colours, and outside of the mask as that."""
        photograph = fixed["scales"][number]["photograph"]
        mask = fixed["scales"][number]["mask"]
        if self._config.keep_colours:
            picture = styles.with_colours_of(picture, photograph)
        if mask is None:
            return picture
        return mask[..., None] * picture + (1 - mask[..., None]) * photograph

    def losses(self, fixed, number: int, made):
        """What is to be small, summed over blends; and its parts' means.

        Args:
          fixed: As the attribute.
          number: Of the scale.
          made: [blends, height, width, 3].
        """
        own = fixed["scales"][number]

        def one(picture, blend):
            picture = self.shown(fixed, number, picture)
            content, style = self._scales[number].differences(
                fixed, picture, own["mask"], own["content"], own["targets"]
            )
            style = style @ blend
            variation = styles.total_variation(picture)
            loss = total(fixed["weights"], content, style, variation)
            return loss, {"content_loss": content, "style_loss": style}

        totals, parts = jax.vmap(one)(made, self._blends)
        parts = {name: jnp.mean(part) for name, part in parts.items()}
        return jnp.sum(totals), parts | {"loss": jnp.mean(totals)}

    def paintings(self) -> list[np.ndarray]:
        """As high as the finished picture, [height, width, 3] float32 in [0, 1]."""
        height = self.shape[1]
        found = []
        for painting in self._paintings:
            width = max(1, round(painting.width * height / painting.height))
            found.append(images.resize(painting, (height, width)))
        return found

    def stretched_painting(self) -> np.ndarray:
        """The first, in the finished picture's shape."""
        return images.resize(self._paintings[0], self.shape[1:3])


def _blends(config, number):
    """[blends, paintings] float32, each row of sum 1."""
    blends = config.blends or ((1.0,) * number,)
    widths = {len(row) for row in blends}
    if widths != {number} or any(min(row) < 0 or sum(row) <= 0 for row in blends):
        raise UserError(
            f"config.blends={blends} is to have rows of {number} weights, one for each "
            "painting"
        )
    blends = np.array(blends, np.float32)
    return blends / blends.sum(axis=1, keepdims=True)
