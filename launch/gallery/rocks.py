"""The tab of the game: watch an agent play, or play on the same rocks.

A game is played out in advance, for rocks fall as they do whoever is below them; the
browser shows it, and moves the visitor's paddle by the rules of `dlx.envs.rocks`. What
the visitor scored is what those rules say of the visitor's moves, played again here.
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
from launch.gallery.models import Shelf, can, told

_SIZES = 8, 16, 32
_MOST_ROCKS = 50


class Player:
    """A trained agent and the games that it can play."""

    def __init__(self, run: restore.Trained):
        self.game, scores = tasks.abilities(run.config).play(run.config)
        self._scores = jax.jit(functools.partial(scores, run.state.params))
        self.values = run.config.task == "dqn"  # not logits
        self.sizes = [size for size in {*_SIZES, self.game.size} if self._sees(size)]
        self.sizes.sort()
        self._recorder = functools.lru_cache(32)(self._make_recorder)

    def record(self, game: rocks.Params, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """One game: screens as of `play.record`, and what it thinks at each.

        Returns:
          screens: [steps + 1, size, size] int8.
          thoughts: [steps + 1, 3] float32, probabilities or action values.
        """
        return jax.device_get(self._recorder(game)(streams.key(seed, "game")))

    def _make_recorder(self, game):
        @jax.jit
        def recorder(key):
            def policy(observations):
                return jnp.argmax(self._scores(observations), axis=-1)

            screens, _ = measure.record(policy, game, key)
            thoughts = self._scores((screens > 0).astype(jnp.float32)[..., None])
            return screens, thoughts if self.values else jax.nn.softmax(thoughts)

        return recorder

    def _sees(self, size):
        """Whether the network takes screens of that size."""
        screen = jax.ShapeDtypeStruct((1, size, size, 1), jnp.float32)
        try:
            return jax.eval_shape(self._scores, screen).shape == (1, rocks.NUM_ACTIONS)
        except Exception:  # as the network's library says it
            return False


@functools.lru_cache(32)
def _replayer(game):
    return jax.jit(lambda actions, key: measure.replay(actions, game, key)[1])


def build(root: pathlib.Path) -> Any:
    """Lays out the tab.

    Returns:
      The handler for when it is opened, its inputs and its outputs.
    """
    shelf = Shelf(
        root,
        can("play"),
        Player,
        "python -m launch.main --config=configs/pg_rocks16.py",
    )
    with gr.Row():
        name = shelf.dropdown(elem_id="player")
        size = gr.Dropdown([], label="Screen")
        every = gr.Slider(
            0, 31, 0, step=1, label="Rain", info="steps between rocks; 0: one at a time"
        )
        number = gr.Slider(1, _MOST_ROCKS, 10, step=1, label="Rocks a game")
        speed = gr.Slider(1, 30, 8, step=1, label="Steps a second")
    with gr.Row():
        watch = gr.Button("Watch", elem_id="watch")
        join = gr.Button(
            "Play against it: arrow keys", variant="primary", elem_id="join"
        )
    board = gr.HTML(
        value=None,
        html_template=_read("rocks.html"),
        css_template=_read("rocks.css"),
        js_on_load=_read("rocks.js"),
        elem_id="board",
    )
    result = gr.Markdown(elem_id="result")
    current = gr.State()

    def begin(name, size, every, number, speed, human):
        player = shelf.get(name)
        game = _game(player, size, every, number)
        seed = secrets.randbits(32)
        screens, thoughts = player.record(game, seed)
        shown = {
            "size": game.size,
            "reach": game.reach,
            "human": human,
            "speed": speed,
            "values": player.values,
            "screens": ["".join(map(str, screen.ravel())) for screen in screens],
            "thoughts": np.round(thoughts.astype(float), 3).tolist(),
            "id": seed,
        }
        return shown, "", {"game": game, "seed": seed, "screens": screens}

    def ended(current, event: gr.EventData):
        """What the visitor and the agent have caught, by the game's own rules."""
        moves = event._data.get("moves") if isinstance(event._data, dict) else None
        game = current and current["game"]
        if (
            not game
            or not isinstance(moves, str)
            or len(moves) != game.episode_steps
            or set(moves) - set("012")
        ):
            raise UserError("that was no whole game")
        key = streams.key(current["seed"], "game")
        actions = jnp.array([int(move) for move in moves], jnp.int32)
        score = int(_replayer(game)(actions, key)[-1])
        yours = (score + game.rocks_per_episode) // 2
        agents = _caught(current["screens"], game)
        won = {1: "You win!", 0: "A draw.", -1: "The agent wins."}
        of = game.rocks_per_episode
        return (
            f"### {won[int(np.sign(yours - agents))]} "
            f"You caught {yours} of {of}, the agent {agents}."
        )

    def chosen(name):
        """The screens that the agent takes, and the rain that it was trained in."""
        player = shelf.get(name)
        game = player.game
        rain = 0 if game.spawn_every is None else game.spawn_every
        return (
            gr.Dropdown(choices=player.sizes, value=game.size),
            gr.Slider(value=rain),
            gr.Slider(value=min(game.rocks_per_episode, _MOST_ROCKS)),
        )

    settings = [name, size, every, number, speed]
    outputs = [board, result, current]

    def watching(*settings):
        return begin(*settings, human=False)

    def joining(*settings):
        return begin(*settings, human=True)

    def opened(name):
        found, now = shelf.choices(name)
        return [found, *((gr.skip(),) * 3 if now in (None, name) else chosen(now))]

    name.input(told(chosen), name, [size, every, number], show_progress="hidden")
    watch.click(told(watching), settings, outputs, show_progress="minimal")
    join.click(told(joining), settings, outputs, show_progress="minimal")
    board.select(told(watching), settings, outputs, show_progress="hidden")
    board.submit(told(ended), current, result, show_progress="hidden")
    return told(opened), name, [name, size, every, number]


def _game(player, size, every, number):
    """The agent's game, as the visitor wants it."""
    if size not in player.sizes:
        raise UserError(f"this agent plays on screens of {player.sizes}")
    if not 0 <= every <= 31 or not 1 <= number <= _MOST_ROCKS:
        raise UserError("there is no such game")
    return player.game.replace(
        size=int(size),
        spawn_every=int(every) or None,
        rocks_per_episode=int(number),
        max_steps=None,
    )


def _caught(screens, game):
    """How many rocks met the paddle: one in the last row but one, a step before."""
    above, below = screens[:-1, -2] == 1, screens[1:, -1] == 2
    return int(np.sum(above & below))


def _read(name):
    """A file that lies beside this one."""
    return pathlib.Path(__file__).with_name(name).read_text()
