"""The environment of docs/adding.md, as it stands there, trained by its command."""

import json
import pathlib
import re
import subprocess
import sys

PAGE = pathlib.Path("docs/adding.md").read_text()
SECTION = PAGE.split("## An environment in 40 lines")[1].split("\n## ")[0]


def test_the_environment_of_the_page_is_learnt(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
    assert len(code.splitlines()) <= 40
    (tmp_path / "my_games.py").write_text(code)
    (command,) = re.findall(r"^    python (-m launch\.main .*)$", SECTION, re.MULTILINE)
    short = {
        "num_envs": 16, "rollout_steps": 8, "num_steps": 60, "epsilon_steps": 20,
        "log_steps": 20, "eval_steps": 60, "checkpoint_steps": 60, "minibatches": 2,
        "learning_rate": 3e-3,
    }  # fmt: skip
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
            "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)",
            *(str(tmp_path), "launch.main", *command.split()[2:]),
            *(f"--config.{name}={value}" for name, value in short.items()),
            f"--workdir={tmp_path / 'run'}",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    # Right all the way: 1 less 0.01 a step, of which there are 1 to 7.
    assert 0.93 <= summary["metrics"]["episode_return"] <= 0.99
    assert 1 <= summary["metrics"]["episode_steps"] <= 7
    assert (tmp_path / "run" / "figures" / "play.gif").exists()
