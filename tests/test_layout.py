"""Who may import whom, late imports counted; there is no circle."""

import ast
import graphlib
import itertools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
BASE = {"errors", "cache", "choices", "fields", "paths", "streams"}
SHARED = BASE | {
    "figures",
    "gradients",
    "optimizers",
    "models",
    "envs",
    "data",
    "runtime",
}
MAY = {
    **dict.fromkeys(BASE, BASE),
    **{room: {"errors"} for room in ("figures", "gradients", "models")},
    "optimizers": {"errors", "choices", "fields"},
    "envs": {"errors", "choices", "streams"},
    "runtime": BASE | {"figures"},
    "data": BASE | {"runtime"},
    **dict.fromkeys(("rl", "vision"), SHARED),
    **{field: SHARED | {"vision"} for field in ("generative", "style")},
    "tasks": SHARED | {"rl", "vision", "generative", "style"},
}


def _module(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {_module(path): path for path in sorted((ROOT / "dlx").rglob("*.py"))}


def _imports(path):
    """The modules of dlx that a file imports anywhere."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == "dlx":
                yield name if name in FILES else name.rpartition(".")[0]
            assert name.split(".")[0] not in ("launch", "configs"), path


GRAPH = {module: set(_imports(path)) - {"dlx"} for module, path in FILES.items()}


def _room(module):
    return module.split(".")[1]


@pytest.mark.parametrize("module", sorted(FILES.keys() - {"dlx"}))
def test_a_module_imports_only_what_its_room_may(module):
    room = _room(module)
    assert {_room(other) for other in GRAPH[module]} - {room} <= MAY[room]


def test_measures_stand_alone():
    for module, imported in GRAPH.items():
        if ".measures." in module and not module.endswith("reference_classifier"):
            outside = {
                i for i in imported if not i.startswith("dlx.generative.measures")
            }
            assert outside <= {"dlx.errors"}


def test_nothing_imports_in_a_circle():
    assert list(graphlib.TopologicalSorter(GRAPH).static_order())  # or CycleError
    rooms = {room: set() for room in MAY}
    for module, imported in GRAPH.items():
        if module != "dlx":
            rooms[_room(module)] |= {_room(i) for i in imported} - {_room(module)}
    assert list(graphlib.TopologicalSorter(rooms).static_order())


def test_only_choices_turns_a_string_into_a_module():
    users = {m for m, p in FILES.items() if "import_module" in p.read_text()}
    assert users == {"dlx.choices"}


def test_launch_is_not_top_level_in_a_wheel():
    """It may be `launch` or `dlx.launch`: its files import one another relatively."""
    for path in (ROOT / "launch").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            assert not {name.split(".")[0] for name in names} & {"launch", "configs"}
            if isinstance(node, ast.Constant) and node.value == "-m":
                assert path.name == "shipped.py"  # it knows the programs' package


def _annotations(definition):
    if isinstance(definition, ast.AnnAssign):
        return [definition.annotation]
    if not isinstance(definition, ast.FunctionDef):
        return []
    given = definition.args
    arguments = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    return [a for a in [*(a.annotation for a in arguments), definition.returns] if a]


@pytest.mark.parametrize("folder", ["dlx", "launch"])
def test_annotations_do_not_name_a_method_of_their_class(folder):
    """From Python 3.14 on they are evaluated late, and would mean the method."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ClassDef):
                continue
            methods = {n.name for n in node.body if isinstance(n, ast.FunctionDef)}
            for annotation in itertools.chain(*map(_annotations, node.body)):
                names = {n.id for n in ast.walk(annotation) if isinstance(n, ast.Name)}
                assert not names & methods, f"{path}:{annotation.lineno}"


def _calls_without_encoding(path):
    """Calls that read or write text, in the encoding of whoever runs the program."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        method = name.rpartition(".")[2]
        of_another = name.startswith(
            ("paths.", "Image.", "wave.", "os.open", "archive.")
        )
        if method not in ("open", "fdopen", "read_text", "write_text") or of_another:
            continue
        modes = node.args[:1] if method == "open" and "." in name else node.args[1:2]
        is_bytes = "open" in method and any("b" in ast.unparse(mode) for mode in modes)
        if not is_bytes and "encoding" not in {word.arg for word in node.keywords}:
            yield f"{path.relative_to(ROOT)}:{node.lineno}: {name}"


def test_text_has_one_encoding_whatever_the_locale():
    files = [file for room in ("dlx", "launch") for file in (ROOT / room).rglob("*.py")]
    assert [call for file in files for call in _calls_without_encoding(file)] == []
