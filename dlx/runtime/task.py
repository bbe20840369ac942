"""Task: an experiment as the loop sees it."""

from collections.abc import Callable
import dataclasses
from typing import Any

import jax

State = Any  # a flax.struct dataclass with a field `step`, [] int32
Batch = Any
Metrics = dict[str, jax.Array]  # name -> [] float32


@dataclasses.dataclass(frozen=True)
class Abilities:
    """What a trained state can do besides training; None if it cannot.

    A task's module may have a value `abilities`, beside `make`. It costs nothing to
    ask: data and networks are made when one of these functions is called.

    Attributes:
      play: config -> (game, scores). An agent's game, and (params, observations) ->
        [batch, num_actions] float32, of which the largest is the greedy action.
      classify: config -> (data, logits). A data set, and (state, images [batch, height,
        width, channels] uint8) -> [batch, classes] float32.
      features: (config, state) -> (data, network, variables). A feature extractor.
      sample: config -> sampler. Draws samples of a state and interpolates them.
      encode: (config, state) -> codec. Maps images to latent vectors and back.
      paint: config -> function. Maps (params, [batch, height, width, 3] float32 in
        [0, 1]) to images of the same shape and range.
    """

    play: Callable[..., Any] | None = None
    classify: Callable[..., Any] | None = None
    features: Callable[..., Any] | None = None
    sample: Callable[..., Any] | None = None
    encode: Callable[..., Any] | None = None
    paint: Callable[..., Any] | None = None


@dataclasses.dataclass(frozen=True)
class Task:
    """The pure functions that make an experiment; the loop knows nothing else of it.

    Attributes:
      init: key -> state. Makes everything that training changes, among it `step` and
        `params`.
      step: (state, batch, key) -> (state, metrics). One update on one of the devices,
        which are the mapped axis 'devices': it averages its gradients over them itself.
        The batch is what `batches` makes; None where there are none.
        It adds 1 to `state.step`. Its metrics hold 'loss', and 'l2_params' to tell
        parameters that are no longer finite.
      evaluate: (state, key) -> metrics. What the config's docstring quotes. On one
        device; it compiles what it wants compiled.
      figures: (state, key) -> {name: picture}. On the host; a picture is uint8, either
        [height, width, 3] or, moving, [frames, height, width, 3]; or a sound or a text,
        as `dlx.figures.save` takes them.
      frames: (state, key) -> {name: [height, width, 3] uint8}, or None. Drawn at every
        evaluation, always with the same key; in the end a GIF for each name.
      metric: Name of the number from `evaluate` that matters most, higher being better:
        on the progress bar, and what makes a checkpoint the best.
      shown: Names of the step's metrics that the progress bar shows, too.
      counts: What one step takes in over all devices, as {'env_steps': 960} or
        {'examples': 128}.
      batches: Where training's batches come from, `dlx.data.batches`.
      local: Names of the state's fields that differ from device to device, such as
        ('envs', 'replay').
      about: What one has to know beside the numbers, such as the digest of a network
        that measures them; goes into summary.json.
    """

    init: Callable[[jax.Array], State]
    step: Callable[[State, Batch, jax.Array], tuple[State, Metrics]]
    evaluate: Callable[[State, jax.Array], Metrics]
    figures: Callable[[State, jax.Array], dict[str, Any]]
    metric: str
    counts: dict[str, int]
    batches: Any = None
    frames: Callable[[State, jax.Array], dict[str, Any]] | None = None
    local: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    about: dict[str, str] = dataclasses.field(default_factory=dict)
