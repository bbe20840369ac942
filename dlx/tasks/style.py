"""Neural style transfer (Gatys, Ecker and Bethge 2016): descent on a picture's pixels.

Features of the picture are to be a photograph's, and its statistics a painting's. It
begins small and grows, by sqrt(2) at a time: the state's picture has the full size from
the start, and what is smaller stands in its upper left corner.
"""

import functools
from typing import Any

import chex
from flax import struct
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np
import optax

from dlx import figures as drawing
from dlx import parallel, perception, pictures
from dlx import style as styles
from dlx.data import batches
from dlx.errors import UserError, blame, require_one_of, require_positive
from dlx.optimizers import moving_average
from dlx.task import Task

_STARTS = "content", "noise", "grey"
_LARGEST_FRAME = 384  # pixels; a GIF of larger ones is for no one


@struct.dataclass
class State:
    """What training changes; all leaves that are pictures are of the full size.

    Attributes:
      step: [] int32.
      params: {'pictures': [blends, height, width, 3] float32 in [0, 1]}.
      opt_state: The optimiser's.
      average: Of the pictures, what is shown.
    """

    step: jax.Array
    params: chex.ArrayTree
    opt_state: chex.ArrayTree
    average: jax.Array


def require(config) -> None:
    """Raises a UserError where the config asks for no picture."""
    require_one_of(config, "style_loss", tuple(styles.LOSSES))
    require_one_of(config, "start", _STARTS)
    require_one_of(config, "optimizer", ("adam", "lbfgs"))
    require_positive(config, "size", "scales")
    if config.num_steps % config.scales:
        raise UserError(
            f"config.num_steps={config.num_steps} is not a multiple of config.scales="
            f"{config.scales}, each of which has as many steps"
        )
    for name in "content_layers", "style_layers":
        if not any(weight > 0 for weight in config[name].values()):
            raise UserError(f"config.{name} gives no layer a weight above 0")


def make_optimizer(config) -> optax.GradientTransformationExtraArgs:
    """Adam, its rate falling anew at every scale; or L-BFGS with a line search."""
    if config.optimizer == "lbfgs":
        return optax.lbfgs(memory_size=config.lbfgs_memory)
    each = config.num_steps // config.scales
    fall = optax.cosine_decay_schedule(
        config.learning_rate, each, config.last_learning_rate
    )

    def schedule(step):
        return fall(step % each)

    return optax.with_extra_args_support(optax.adam(schedule, b1=0.9, b2=0.99))


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
          mask: [height, width] in [0, 1], where the style goes.
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
            everywhere = jnp.ones(picture.shape[:2])
            return self._statistics(self._look(variables, picture), owned, everywhere)

        parts = self._over_windows(window, picture, self._owned)
        return jax.tree.map(lambda part: jnp.sum(part, axis=0), parts)

    def _statistics(self, features, owned, mask):
        """Of a window's own features, each weighted by the mask at its middle."""
        found = {}
        for layer in self._config.style_layers:
            reach = self._network.reach[layer]
            height, width = features[layer].shape[:2]
            middle = (reach.after - reach.before) // 2
            rows = jnp.minimum(reach.stride * np.arange(height) + middle, len(mask) - 1)
            columns = reach.stride * np.arange(width) + middle
            columns = jnp.minimum(columns, mask.shape[1] - 1)
            weights = owned[layer] * mask[rows[:, None], columns]
            found[layer] = styles.statistics(features[layer], weights)
        return found


class Studio:
    """The photograph, the paintings and the network, at every scale.

    Attributes:
      shape: Of the finished picture, [blends, height, width, 3].
      fixed: What a step takes in, the same every time.
    """

    def __init__(self, config):
        """Reads everything; a UserError where one of it cannot be had."""
        self._config = config
        self._photograph = pictures.read(config.content)
        self._paintings = [pictures.read(name) for name in config.style.split(",")]
        self._blends = _blends(config, len(self._paintings))
        layers = *config.content_layers, *config.style_layers
        network = perception.load(config, layers)
        smaller = [2 ** (-n / 2) for n in reversed(range(config.scales))]
        sides = [config.size * times for times in smaller]
        self._scales = [
            Scale(config, network, pictures.shape_at(self._photograph, side))
            for side in sides
        ]
        self.shape = len(self._blends), *self._scales[-1].shape, 3
        mask = config.mask and pictures.read(config.mask)
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
        photograph = pictures.resize(self._photograph, scale.shape)
        everywhere = np.ones(scale.shape, np.float32)
        if mask:
            everywhere = styles.luminance(pictures.resize(mask, scale.shape))
            if np.mean(everywhere) < 0.01:
                raise UserError(f"{self._config.mask} is black: the style goes nowhere")
        targets = []
        for painting in self._paintings:
            shape = pictures.shape_at(painting, side * self._config.style_scale)
            other = Scale(self._config, network, shape)
            painted = pictures.resize(painting, shape)
            targets.append(jax.jit(other.statistics)(network.variables, painted))
        return {
            "photograph": photograph,
            "mask": everywhere,
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
        mask = fixed["scales"][number]["mask"][..., None]
        if self._config.keep_colours:
            picture = styles.with_colours_of(picture, photograph)
        return (
            mask * picture + (1 - mask) * photograph if self._config.mask else picture
        )

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
            found.append(pictures.resize(painting, (height, width)))
        return found

    def stretched_painting(self) -> np.ndarray:
        """The first, in the finished picture's shape."""
        return pictures.resize(self._paintings[0], self.shape[1:3])


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


def make(config) -> Task:
    """Builds the task.

    Args:
      config: As in configs/style.py.

    Raises:
      UserError: where a picture or the network cannot be had, or do not go together.
    """
    require(config)
    studio, tx = Studio(config), make_optimizer(config)
    last = config.scales - 1

    def init(key):
        made = studio.first(key)
        params = {"pictures": made}
        return State(jnp.int32(0), params, tx.init(params), jnp.copy(made))

    def descend(number, state, fixed):
        """A step at one scale."""
        begins = -(-number * config.num_steps // config.scales)
        changing = state.params, state.opt_state, state.average
        if number:
            changing = lax.cond(
                state.step == begins,
                lambda tree: studio.grow(tree, number),
                lambda tree: tree,
                changing,
            )
        params, opt_state, average = studio.take(changing, number)

        def loss(params):
            return studio.losses(fixed, number, params["pictures"])

        (value, parts), grads = jax.value_and_grad(loss, has_aux=True)(params)
        grads = lax.pmean(grads, parallel.AXIS)
        updates, opt_state = tx.update(
            grads, opt_state, params,
            value=value, grad=grads, value_fn=lambda params: loss(params)[0],
        )  # fmt: skip
        params = optax.apply_updates(params, updates)
        params = jax.tree.map(lambda picture: jnp.clip(picture, 0, 1), params)
        average = moving_average(
            params["pictures"], average, config.average_decay, state.step - begins
        )
        parts["l2_params"] = optax.tree.norm(params)
        params, opt_state, average = studio.put(changing, (params, opt_state, average))
        return State(state.step + 1, params, opt_state, average), parts

    def step(state, batch, key):
        del key
        branches = [functools.partial(descend, n) for n in range(config.scales)]
        return lax.switch(studio.number(state.step), branches, state, batch)

    full = tuple(studio.shape[1:3])

    @jax.jit
    def judge(fixed, made):
        return studio.losses(fixed, last, made)[1]

    @functools.cache
    def ends():
        """Of the photograph itself, and of the painting in its place."""
        photograph = studio.fixed["scales"][last]["photograph"]
        painting = studio.stretched_painting()
        both = [np.broadcast_to(p, studio.shape) for p in (photograph, painting)]
        return [judge(studio.fixed, jnp.asarray(picture)) for picture in both]

    def finished(state):
        """[blends, height, width, 3] of the full size, whatever the scale."""
        number = studio.number(max(0, int(state.step) - 1))
        made = studio.take(state.average, number)
        return jax.image.resize(made, studio.shape, "cubic").clip(0, 1)

    def evaluate(state, key):
        del key
        parts = judge(studio.fixed, finished(state))
        photograph, painting = ends()
        return parts | {
            "minus_loss": -parts["loss"],
            "style_loss_of_photograph": photograph["style_loss"],
            "content_loss_of_painting": painting["content_loss"],
        }

    def seen(state):
        """[blends, height, width, 3] uint8."""
        made = [studio.shown(studio.fixed, last, one) for one in finished(state)]
        return np.uint8(np.round(255 * np.clip(np.stack(made), 0, 1)))

    def frames(state, key):
        del key
        small = min(1, _LARGEST_FRAME / max(full))
        shape = [max(1, round(side * small)) for side in full]
        return {"forming": drawing.resized(seen(state)[0], shape)}

    def figures(state, key):
        del key
        made = seen(state)
        photograph = studio.fixed["scales"][last]["photograph"]
        both = [photograph, *studio.paintings()]
        both = [np.uint8(np.round(255 * picture)) for picture in both]
        return {
            "picture": np.concatenate(made, axis=1),
            "side_by_side": drawing.beside([*both, *made]),
        }

    return Task(
        init=init,
        step=step,
        evaluate=evaluate,
        figures=figures,
        frames=frames,
        metric="minus_loss",
        counts={"pixels": len(studio.shape) and studio.shape[0] * full[0] * full[1]},
        batches=batches.Constant(studio.fixed),
        shown=("content_loss", "style_loss"),
    )
