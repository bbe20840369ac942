"""Shows a trained agent playing rocks in the terminal; --human plays against it.

For an agent of any other game, the program prints the returns of --games games and
saves a film.

    python -m launch.play --workdir=runs/pg_rocks16/20261125-120000 --human

With --human you move the left paddle with the arrow keys. The agent has the same rocks.
The key q quits.
"""

import curses
import functools
import sys
import time

from . import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
import jax
import numpy as np

from dlx import figures, streams, tasks
from dlx.envs import drawing, rocks
from dlx.envs.rocks_environment import Rocks
from dlx.errors import UserError
from dlx.rl import evaluation
from dlx.runtime import restore

from .rocks_match import Match

_WORKDIR = start.path_flag("workdir", None, "The run's folder.", required=True)
_HUMAN = flags.DEFINE_bool("human", False, "Play against the agent.")
_GAMES = flags.DEFINE_integer(
    "games", None, "The number of games. Rocks: unlimited by default; other games: 10."
)
_SPEED = flags.DEFINE_float("speed", 8, "Steps per second.", lower_bound=0.1)
_SEED = flags.DEFINE_integer(
    "seed", None, "The rocks' random seed; by default the time."
)

_KEYS = {curses.KEY_LEFT: rocks.LEFT, curses.KEY_RIGHT: rocks.RIGHT}
_GAP = 4  # characters between two screens


def main() -> None:
    run = restore.load(_WORKDIR.value, tasks.make)
    play = tasks.abilities(run.config).play
    if play is None:
        raise UserError(
            f"{_WORKDIR.value} is a run of {run.config.task}, which is not an agent"
        )
    env, scores = play(run.config)
    if not isinstance(env, Rocks):
        return _film(env, evaluation.greedy(env, scores, run.state.params))
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UserError("standard input and output must be a terminal")
    scores = functools.partial(jax.jit(scores), run.state.params)
    match = Match(env.params, scores, human=_HUMAN.value)
    print(curses.wrapper(_show, match, _key()))


def _key():
    seed = time.time_ns() % 2**32 if _SEED.value is None else _SEED.value
    return streams.key(seed, "game")


def _film(env, policy):
    """Plays a game that is not rocks: prints the measures and saves a film."""
    if _HUMAN.value:
        raise UserError("--human: people can play rocks only, not this run's game")
    games, key = _GAMES.value or 10, _key()
    measured = jax.jit(lambda key: env.measure(policy, key, games))(key)
    for name, number in jax.device_get(measured).items():
        print(f"{name} of {games} games: {number:.4g}")
    film = env.film(policy, key)
    if film is None:
        print("this game has no film, because its observations are not pictures")
    else:
        print(figures.save(_WORKDIR.value / "figures", "game", film))


def _show(window, match, key):
    """Plays in a curses window and returns the result as text."""
    curses.curs_set(0)
    if curses.has_colors():
        curses.use_default_colors()
        curses.init_pair(1, curses.COLOR_YELLOW, -1)
        curses.init_pair(2, curses.COLOR_CYAN, -1)
    while _GAMES.value is None or match.games < _GAMES.value:
        match.begin(jax.random.fold_in(key, match.games))
        _draw(window, match)
        while not match.over:
            pressed = _wait(window)
            if pressed == ord("q"):
                return _result(match)
            match.step(_KEYS.get(pressed, rocks.STAY))
            _draw(window, match)
    return _result(match)


def _wait(window):
    """The last key pressed during one step of the game, or -1."""
    pressed, end = -1, time.monotonic() + 1 / _SPEED.value
    while (left := end - time.monotonic()) > 0:
        window.timeout(max(1, round(1000 * left)))
        key = window.getch()
        pressed = pressed if key == -1 else key
        if pressed == ord("q"):
            break
    return pressed


def _draw(window, match):
    """Draws every player's screen, and the agent's scores below them."""
    width = 2 * match.game.size + 2
    needed = match.game.size + 7, len(match.players) * (width + _GAP) + 1
    actual = window.getmaxyx()
    if any(have < need for have, need in zip(actual, needed, strict=True)):
        raise UserError(
            f"the terminal has {'x'.join(map(str, actual))} lines and columns; the "
            f"game needs {'x'.join(map(str, needed))}"
        )
    window.erase()
    keys = "arrows move, q quits" if match.human else "q quits"
    window.addstr(0, 1, f"rocks, game {match.games}: {keys}")
    for number, player in enumerate(match.players):
        left = 1 + number * (width + _GAP)
        window.addstr(2, left, match.score(player), curses.A_BOLD)
        screen = match.screen(player)
        for row, line in enumerate(drawing.text(screen).splitlines(), start=3):
            window.addstr(row, left, line)
        for row, column in np.argwhere(screen):
            color = curses.color_pair(int(screen[row, column]))
            window.chgat(4 + row, left + 1 + 2 * column, 2, color)
    scores = match.agent_scores()
    for action, name in enumerate(("left", "stay", "right")):
        best = curses.A_REVERSE if action == np.argmax(scores) else curses.A_NORMAL
        text = f" {name} {scores[action]:+.2f} "
        window.addstr(match.game.size + 5, left + 14 * action, text, best)
    window.refresh()


def _result(match):
    """The number of rocks that each player caught, as text."""
    total = sum(reward != 0 for reward in match.rewards["agent"])
    total += (match.games - 1) * match.game.rocks_per_episode
    caught = ", ".join(f"{player} {n}" for player, n in match.caught.items())
    return f"of {total} rocks in {match.games} games: {caught}"


if __name__ == "__main__":
    start.run(main)
