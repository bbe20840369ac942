"""One line for each error of a config file, which is the user's own program."""

import signal
import sys
import time

import pytest

from launch import start

FILES = {
    "key": ("def get_config():\n    return {}['x']\n", ":2: KeyError: 'x'"),
    "other": (
        "import typing\n"
        "def get_config(size: typing.Literal['small', 'large'] = 'medium'):\n"
        "    return {'small': 1, 'large': 2}[size]\n",
        ":3: KeyError: 'medium'; after a colon, the config takes small or large",
    ),
    "missing": ("import nothing_here\n", ":1: ModuleNotFoundError: No module named"),
    "five": ("def get_config():\n    return 5\n", "must return an ml_collections.Con"),
    "nothing": ("def get_config():\n    pass\n", "get_config() returned None"),
    "argument": ("def get_config(size):\n    pass\n", "argument: 'size'"),
    "number": ("get_config = 3\n", "'int' object is not callable"),
    "ends": (
        "def get_config():\n    raise SystemExit(3)\n",
        ":2: the config file calls sys.exit",
    ),
    "stops": (
        "def get_config():\n    raise KeyboardInterrupt\n",
        ":2: KeyboardInterru",
    ),
    "value": (
        "def get_config():\n    raise ValueError('one\\ntwo')\n",
        ":2: ValueError: one",
    ),
    "attribute": (
        "import ml_collections\n"
        "def get_config():\n    return ml_collections.ConfigDict({}).missing\n",
        ":3: AttributeError",
    ),
    "short": (
        "import ml_collections\n"
        "def get_config():\n    return ml_collections.ConfigDict({'task': 'dqn'})\n",
        "which task 'dqn' needs",
    ),
}


@pytest.fixture(scope="module")
def printed(tmp_path_factory, trainings):
    """What launch.main says of each file: {name: (exit code, output, errors)}."""
    folder = tmp_path_factory.mktemp("configs")
    for name, (text, _) in FILES.items():
        (folder / f"{name}.py").write_text(text)
    ends = trainings([f"--config={folder}/{name}.py"] for name in FILES)
    return dict(zip(FILES, ends, strict=True))


@pytest.mark.parametrize("name", FILES)
def test_a_config_files_own_error_is_one_line(name, printed):
    code, _, output = printed[name]
    assert code == 2, output
    lines = [line for line in output.splitlines() if "WARNING" not in line]
    assert lines[-1].startswith("main: ") and FILES[name][1] in lines[-1]
    assert "Traceback" not in output and len(lines) <= 2


def test_a_ctrl_c_that_a_callback_drops_comes_again(monkeypatch, capsys):
    class Drops:
        def __del__(self):
            raise KeyboardInterrupt

    monkeypatch.setattr(sys, "unraisablehook", start.interrupt_again)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            Drops()
            time.sleep(5)
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == ""
