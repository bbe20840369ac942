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
    """Uses of a trained state besides training; None if there is no such use.

    A task's module may have a value `abilities`, beside `make`. Data and networks are
    made only when one of these functions is called.

    Attributes:
      play: config -> (env, scores). An agent's game, a `dlx.envs.environment`
        Environment, and (params, observations) -> [batch, num_actions] float32, of
        which the largest is the greedy action. If actions are continuous, the scores
        are the greedy action itself.
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
    """An experiment as pure functions, which are all that the loop knows.

    Attributes:
      init: key -> state. Makes everything that training changes, including `step` and
        `params`.
      step: (state, batch, key) -> (state, metrics). One update on one device of the
        mapped axis 'devices'; it averages its gradients over that axis itself. The
        batch comes from `batches`; it is None if there are no batches. It adds 1 to
        `state.step`. Its metrics include 'loss' and 'l2_params'; the latter detects
        parameters that are not finite.
      evaluate: (state, key) -> metrics. Runs on one device and compiles what it needs.
      figures: (state, key) -> {name: picture}. Runs on the host. A picture is [height,
        width, 3] uint8, [frames, height, width, 3] uint8, a sound or a text, as
        `dlx.figures.save` takes them.
      frames: (state, key) -> {name: [height, width, 3] uint8}, or None. The loop draws
        frames at every evaluation, with the same key, and joins them to a GIF.
      metric: The metric from `evaluate` that selects the best checkpoint and is shown
        on the progress bar; higher is better.
      selects: Whether evaluations select the best checkpoint. If not, it is the last
        one; this is so if evaluations use the test split.
      shown: Further metrics of the step that the progress bar shows.
      counts: What one step consumes over all devices, such as {'env_steps': 960} or
        {'examples': 128}.
      batches: The source of training batches, from `dlx.data.batches`, or None.
      local: Names of the state's fields that differ between devices, such as
        ('envs', 'replay').
      about: Facts about the numbers for summary.json, such as the digest of the network
        that measures them.
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
    selects: bool = True
    shown: tuple[str, ...] = ()
    about: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def progress(self) -> list[str]:
        """The logged numbers that the progress bar shows; an evaluation's first."""
        return [f"eval/{self.metric}", *(f"train/{name}" for name in self.shown)]
