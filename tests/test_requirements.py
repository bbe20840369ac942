"""Whatever a file imports, the files that say what to install promise."""

import ast
from importlib import metadata
import pathlib
import re
import sys
import tomllib

from packaging.requirements import Requirement
import pytest

ROOT = pathlib.Path(__file__).parents[1]
OURS = {"dlx", "launch", "configs", "tests"}
# Distributions that are not called as their module is.
NAMES = {
    "absl": "absl-py",
    "orbax": "orbax-checkpoint",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}


def _normal(name):
    return re.sub("[-_.]+", "-", name).lower()


def _promised(*extras):
    """Names of what requirements.txt and some extras install."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line and line[0] != "#"]
    for extra in extras:
        wanted += map(Requirement, project["optional-dependencies"][extra])
    for requirement in wanted:
        if requirement.name == "dlx":
            yield from _promised(*requirement.extras)
        yield _normal(requirement.name)


def _imported(path):
    """Names of the distributions that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module]
        for module in modules:
            top = module.split(".")[0]
            if top not in OURS | set(sys.stdlib_module_names):
                yield _normal(NAMES.get(top, top))


@pytest.mark.parametrize(
    ("folder", "extras", "less"),
    [
        ("dlx", [], ["envs", "runtime/trackers.py"]),
        ("dlx/runtime", ["trackers"], []),
        ("dlx/envs", ["bench"], ["from_jaxtari.py"]),  # adapters to others' interfaces
        ("launch", [], ["gallery", "bench"]),
        ("launch/gallery", ["gallery"], []),
        ("launch/bench", ["bench"], []),
        ("configs", [], []),
        (
            "tests",
            ["dev", "bench", "trackers"],
            [],
        ),  # skipped where the peers are not installed
    ],
)
def test_imports_are_promised(folder, extras, less):
    left_out = [ROOT / folder / name for name in less]
    promised = set(_promised(*extras))
    missing = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        if not any(path.is_relative_to(other) for other in left_out):
            for name in set(_imported(path)) - promised:
                missing.setdefault(name, []).append(path.name)
    assert not missing


def test_distributions_are_called_so():
    found = metadata.packages_distributions()
    for module, distribution in NAMES.items():
        assert distribution in map(_normal, found[module])
