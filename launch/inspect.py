"""Describes an experiment before it trains: config, parameters, batch, cost, speed.

python -m launch.inspect --config=configs/cnn_mnist.py --config.network=vit

It compiles the training program of two steps and runs it twice. It writes no files.
"""

from . import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
from ml_collections import config_flags

from dlx import paths, tasks
from dlx.runtime import inspection

_CONFIG = config_flags.DEFINE_config_file(
    "config", help_string="The experiment's config file."
)


def main() -> None:
    config = _CONFIG.value
    paths.resolve(config)
    task = tasks.make(config)
    _print("config", str(config).splitlines())
    for part in (inspection.described, inspection.measured):
        for title, lines in part(task, config).items():
            _print(title, lines)


def _print(title, lines):
    print(title, *(f"  {line}" for line in lines), "", sep="\n", flush=True)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    start.run(main)
