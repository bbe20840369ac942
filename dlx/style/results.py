"""Losses and pictures of a painting that is optimised; see `dlx.style.optimise`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dlx import figures
from dlx.style.problem import StyleProblem

_LARGEST_FRAME = 384  # pixels; limits the GIF's size


def finished(problem: StyleProblem, state) -> jax.Array:
    """Resizes the state's average pictures to the full size.

    Returns:
      [blends, height, width, 3] float32 in [0, 1].
    """
    index = problem.resolution_at(max(0, int(state.step) - 1))
    pictures = problem.take(state.average, index)
    return jax.image.resize(pictures, problem.shape, "cubic").clip(0, 1)


def composed(config, problem: StyleProblem, state) -> np.ndarray:
    """Finished pictures after colour preservation and mask.

    Returns:
      [blends, height, width, 3] uint8.
    """
    last = config.scales - 1
    pictures = [
        problem.composed(problem.fixed, last, picture)
        for picture in finished(problem, state)
    ]
    return _to_uint8(np.clip(np.stack(pictures), 0, 1))


def make_evaluate(config, problem: StyleProblem):
    """Makes the Task's `evaluate`, which measures the finished pictures."""
    last = config.scales - 1

    @jax.jit
    def measure(fixed, pictures):
        return problem.losses(fixed, last, pictures)[1]

    @functools.cache
    def reference_losses():
        """Losses of two reference images: the unchanged photo, the painting itself."""
        photograph = problem.fixed["resolutions"][last]["photograph"]
        references = photograph, problem.stretched_painting()
        return [
            measure(problem.fixed, jnp.asarray(np.broadcast_to(image, problem.shape)))
            for image in references
        ]

    def evaluate(state, key):
        del key
        metrics = measure(problem.fixed, finished(problem, state))
        photograph, painting = reference_losses()
        return metrics | {
            "minus_loss": -metrics["loss"],
            "style_loss_of_photograph": photograph["style_loss"],
            "content_loss_of_painting": painting["content_loss"],
        }

    return evaluate


def make_frames(config, problem: StyleProblem):
    """Makes the Task's `frames`: the first picture as it forms."""
    full = problem.shape[1:3]
    factor = min(1, _LARGEST_FRAME / max(full))
    shape = [max(1, round(side * factor)) for side in full]

    def frames(state, key):
        del key
        picture = composed(config, problem, state)[0]
        return {"forming": figures.resized(picture, shape)}

    return frames


def make_figures(config, problem: StyleProblem):
    """Makes the Task's `figures`: the pictures, and photo and paintings beside them."""

    def draw(state, key):
        del key
        pictures = composed(config, problem, state)
        photograph = problem.fixed["resolutions"][config.scales - 1]["photograph"]
        inputs = [_to_uint8(image) for image in (photograph, *problem.paintings())]
        return {
            "picture": np.concatenate(pictures, axis=1),
            "side_by_side": figures.beside([*inputs, *pictures]),
        }

    return draw


def _to_uint8(picture):
    """[0, 1] float32 -> [0, 255] uint8."""
    return np.uint8(np.round(255 * picture))
