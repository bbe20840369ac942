"""Runs a speed benchmark, in most cases against another library.

python -m launch.bench envs
"""

from .. import start  # isort: skip, it quietens XLA before anything loads it

from . import classifiers, envs, gan, goals, gpu, minatar, rl, scaling, style, vae

SUITES = {
    "envs": envs.main,
    "rl": rl.main,
    "minatar": minatar.main,
    "goals": goals.main,
    "classifiers": classifiers.main,
    "vae": vae.main,
    "gan": gan.main,
    "style": style.main,
    "scaling": scaling.main,
    "gpu": gpu.main,
}


def main(suite: str) -> int | None:
    return SUITES[suite]()


if __name__ == "__main__":
    start.run(main, commands=tuple(SUITES))
