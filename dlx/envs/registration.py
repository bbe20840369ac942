"""Games by name: dlx's, gymnax's, JAXtari's, or any that can be imported."""

from typing import Any

from dlx import choices
from dlx.envs import rocks
from dlx.envs.environment import Environment
from dlx.envs.rocks_environment import Rocks
from dlx.errors import UserError, user_error_in

_PREFIXES = {"gymnax": "from_gymnax", "jaxtari": "from_jaxtari"}


def make(name: str = "rocks", **fields: Any) -> Environment:
    """Makes a game.

    Args:
      name: 'rocks'; 'gymnax/NAME' or 'jaxtari/NAME', a game of that library; or the
        import path of an `Environment` or of a function that returns one, such as
        'my_package.my_module.Corridor'.
      **fields: The game's parameters: those of `rocks.Params` and `sparse` of `Rocks`,
        the library's own, or the arguments of the imported function.

    Raises:
      UserError: if there is no such game, or a parameter is invalid.
    """
    if not isinstance(name, str):
        raise UserError(f"config.env.name must be text, got {name!r}")
    library, _, game = name.partition("/")
    if name == "rocks":
        with user_error_in("config.env"):
            return _rocks(**fields)
    if library in _PREFIXES and game:
        module = choices.imported(f"dlx.envs.{_PREFIXES[library]}")
        return module.make(game, **fields)
    environment = _imported(name)
    if callable(environment):
        with user_error_in("config.env"):
            return environment(**fields)
    if fields:
        raise UserError(
            f"config.env.name is {name!r}, which takes no parameters; "
            f"got {', '.join(sorted(fields))}"
        )
    return environment


def _rocks(*, sparse=False, **fields):
    return Rocks(rocks.Params(**fields), sparse)


def _imported(name):
    path, _, attribute = name.rpartition(".")
    exists = path and choices.exists(path)
    value = getattr(choices.imported(path), attribute, None) if exists else None
    if not value:
        raise UserError(
            f"config.env.name is {name!r}; it must be 'rocks', 'gymnax/NAME', "
            "'jaxtari/NAME', or the import path of an Environment"
        )
    return value
