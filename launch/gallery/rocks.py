"""The tab of the game: watch an agent play, or play on the same rocks.

The server plays the agent's game in advance. This is possible because the players do
not influence the rocks. The browser shows the game and moves the visitor's
paddle by the rules of `dlx.envs.rocks`. At the end the server plays the visitor's moves
by the same rules and computes the score.
"""

import functools
import pathlib
import secrets
from typing import Any

import gradio as gr
import jax
import jax.numpy as jnp
import numpy as np

from dlx import streams, tasks
from dlx.envs import measure, rocks
from dlx.errors import UserError
from dlx.runtime import restore

from .. import shipped
from .models import LATEST, Models, can, show_user_errors

_SIZES = 8, 16, 32
_MOST_ROCKS = 50
_MOST_INTERVAL = 31  # steps between rocks


class Agent:
    """A trained agent.

    Attributes:
      game: The game that it was trained on.
      values: Whether its scores are action values; otherwise they are logits.
      sizes: The screen sizes that its network accepts.
    """

    def __init__(self, run: restore.Trained):
        env, scores = tasks.abilities(run.config).play(run.config)
        self.game = env.params
        self._scores = jax.jit(functools.partial(scores, run.state.params))
        self.values = run.config.task in ("dqn", "pqn")
        sizes = {*_SIZES, self.game.size}
        self.sizes = sorted(size for size in sizes if self._accepts(size))
        self._recorder = functools.lru_cache(32)(self._make_recorder)

    def record(self, game: rocks.Params, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Plays one game.

        Returns:
          screens: [steps + 1, size, size] int8, as returned by `measure.record`.
          scores: [steps + 1, 3] float32. Probabilities or values of the actions.
        """
        return jax.device_get(self._recorder(game)(streams.key(seed, "game")))

    def _make_recorder(self, game):
        @jax.jit
        def recorder(key):
            def policy(observations):
                return jnp.argmax(self._scores(observations), axis=-1)

            screens, _ = measure.record(policy, game, key)
            scores = self._scores((screens > 0).astype(jnp.float32)[..., None])
            return screens, scores if self.values else jax.nn.softmax(scores)

        return recorder

    def _accepts(self, size):
        """Whether the network accepts screens of that size."""
        screen = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
        try:
            return jax.eval_shape(self._scores, screen).shape == (1, rocks.NUM_ACTIONS)
        except Exception:  # the network's library may raise any error
            return False


def build(root: pathlib.Path) -> Any:
    """Lays out the tab.

    Returns:
      The handler for opening the tab, its inputs and its outputs.
    """
    models = Models(
        root,
        _plays_rocks,
        Agent,
        shipped.train_command("pg_rocks16"),
    )
    settings = _settings(models)
    with gr.Row():
        watch = gr.Button("Watch", elem_id="watch")
        join = gr.Button(
            "Play against it: arrow keys", variant="primary", elem_id="join"
        )
    outputs = make_board("board")

    @show_user_errors
    def watch_game(name, *settings):
        return begin(models.get(name), *settings, human=False)

    @show_user_errors
    def join_game(name, *settings):
        return begin(models.get(name), *settings, human=True)

    connect(settings, watch, join, outputs, watch_game, join_game)
    name, *defaults, _ = settings

    @show_user_errors
    def selected(name):
        return _defaults(models, name)

    @show_user_errors
    def opened(name):
        dropdown, now = models.choices(name)
        if now in (None, name):
            return [dropdown, *[gr.skip()] * len(defaults)]
        return [dropdown, *_defaults(models, now)]

    name.input(selected, name, defaults, **LATEST)
    return opened, name, [name, *defaults]


def make_board(elem_id: str, value: Any = None) -> list[Any]:
    """Makes the board, the text of the result, and the game's state.

    Args:
      elem_id: The board's name on the page.
      value: The board's value from `begin` that the page opens with, or None.
    """
    board = gr.HTML(
        value=value,
        html_template=_read("rocks.html"),
        css_template=_read("rocks.css"),
        js_on_load=_read("rocks.js"),
        elem_id=elem_id,
    )
    return [board, gr.Markdown(elem_id=f"{elem_id}-result"), gr.State()]


def connect(settings, watch, join, outputs, watch_game, join_game) -> None:
    """Connects the buttons and the board with their handlers.

    Args:
      settings: The inputs of both handlers.
      watch: The button that begins a game of the agent alone.
      join: The button that begins a game of the visitor and the agent.
      outputs: What `make_board` returned.
      watch_game: Settings -> the outputs' values.
      join_game: Likewise.
    """
    board, result, current = outputs

    @show_user_errors
    def ended(current, event: gr.EventData):
        return _result(current, event._data)

    watch.click(watch_game, settings, outputs, show_progress="minimal")
    join.click(join_game, settings, outputs, show_progress="minimal")
    board.select(watch_game, settings, outputs, show_progress="hidden")
    board.submit(ended, current, result, show_progress="hidden")


def _plays_rocks(config):
    """Whether runs of a config play rocks; this tab's rules are those of rocks."""
    return can("play")(config) and config.env.get("name", "rocks") == "rocks"


def _settings(models):
    """The inputs: run, screen size, interval, number of rocks, speed."""
    with gr.Row():
        name = models.dropdown(elem_id="player", scale=3, min_width=240)
        size = gr.Dropdown([], label="Screen", scale=1, min_width=120)
    with gr.Row():
        whole = {"step": 1, "min_width": 300}
        number = gr.Slider(1, _MOST_ROCKS, 10, label="Rocks a game", **whole)
        label = "Steps between rocks (0: one at a time)"
        every = gr.Slider(0, _MOST_INTERVAL, 0, label=label, **whole)
        speed = gr.Slider(1, 30, 8, label="Steps a second", **whole)
    return [name, size, every, number, speed]


def _defaults(models, name):
    """The screen sizes that the agent accepts, and the settings of its training."""
    agent = models.get(name)
    game = agent.game
    return (
        gr.Dropdown(choices=agent.sizes, value=game.size),
        gr.Slider(value=0 if game.spawn_every is None else game.spawn_every),
        gr.Slider(value=min(game.rocks_per_episode, _MOST_ROCKS)),
    )


def begin(
    agent: Agent, size: int, every: int, number: int, speed: float, human: bool
) -> tuple[Any, str, Any]:
    """Begins a game: the board's value, an empty result, and the game's state.

    Args:
      agent: The agent.
      size: The size of the screen.
      every: The steps between rocks; 0 lets one rock fall at a time.
      number: The number of rocks in the game.
      speed: Steps per second.
      human: Whether the visitor plays, too.

    Raises:
      UserError: if a setting is invalid.
    """
    game = _game(agent, size, every, number)
    seed = secrets.randbits(32)
    screens, scores = agent.record(game, seed)
    value = {
        "size": game.size,
        "halfWidth": game.half_width,
        "human": human,
        "speed": speed,
        "values": agent.values,
        "screens": ["".join(map(str, screen.ravel())) for screen in screens],
        "scores": np.round(scores.astype(float), 3).tolist(),
        "id": seed,
    }
    return value, "", {"game": game, "seed": seed, "screens": screens}


def _result(current, data):
    """The numbers of rocks that visitor and agent caught, as text."""
    moves = data.get("moves") if isinstance(data, dict) else None
    game = current and current["game"]
    if (
        not game
        or not isinstance(moves, str)
        or len(moves) != game.episode_steps
        or set(moves) - set("012")
    ):
        raise UserError("the moves do not cover exactly one game")
    key = streams.key(current["seed"], "game")
    actions = jnp.array([int(move) for move in moves], jnp.int32)
    score = int(_scorer(game)(actions, key)[-1])
    total = game.rocks_per_episode
    by_visitor, by_agent = (score + total) // 2, _caught(current["screens"], game)
    outcome = {1: "You win!", 0: "A draw.", -1: "The agent wins."}
    return (
        f"### {outcome[int(np.sign(by_visitor - by_agent))]} "
        f"You caught {by_visitor} of {total}, the agent {by_agent}."
    )


def _game(agent, size, every, number):
    """The agent's game with the visitor's settings."""
    if size not in agent.sizes:
        raise UserError(f"the agent accepts screens of {agent.sizes}, got {size}")
    if not 0 <= every <= _MOST_INTERVAL or not 1 <= number <= _MOST_ROCKS:
        raise UserError(
            f"the interval must be 0 ... {_MOST_INTERVAL}, the number of rocks "
            f"1 ... {_MOST_ROCKS}"
        )
    return agent.game.replace(
        size=int(size),
        spawn_every=int(every) or None,
        rocks_per_episode=int(number),
        max_steps=None,
    )


@functools.lru_cache(32)
def _scorer(game):
    """A jitted function: (actions, key) -> scores, [steps + 1]."""
    return jax.jit(lambda actions, key: measure.with_actions(actions, game, key)[1])


def _caught(screens, game):
    """The number of rocks caught.

    A caught rock is in the second last row, and a step later the paddle is below it.
    """
    above, below = screens[:-1, -2] == 1, screens[1:, -1] == 2
    return int(np.sum(above & below))


def _read(name):
    """The text of a file in this folder."""
    return pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8")
