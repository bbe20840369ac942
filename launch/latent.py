"""Plays with the latent vectors of a trained autoencoder.

    python -m launch.latent --workdir=RUN blend --a=3 --b=seven.png
    python -m launch.latent --workdir=RUN sample --n=64 --seed=1
    python -m launch.latent --workdir=RUN reconstruct two.png cat.jpg
    python -m launch.latent --workdir=RUN analogy --a=0 --b=1 --c=2   # c + b - a

An image is a file, as for launch.predict, the number of one of the test split's, or an
.npz that --npz has written: its first vector. Each writes a picture.
"""

import pathlib

from launch import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
import jax
import jax.numpy as jnp
import numpy as np

from dlx import figures, latents
from dlx.errors import UserError
from dlx.tasks import vae
from launch import fitting, trained

_COMMANDS = ("blend", "sample", "reconstruct", "analogy")
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's folder.", required=True)
_OUT = flags.DEFINE_string("out", None, "The picture; by default latent-COMMAND.png.")
_NPZ = flags.DEFINE_string("npz", None, "Where to write the vectors, [n, latents].")
_A = flags.DEFINE_string("a", None, "An image.")
_B = flags.DEFINE_string("b", None, "An image.")
_C = flags.DEFINE_string("c", None, "An image.")
_STEPS = flags.DEFINE_integer("steps", 9, "From a to b, both included.", lower_bound=2)
_SPHERICAL = flags.DEFINE_bool("spherical", False, "Blend round the origin.")
_N = flags.DEFINE_integer("n", 64, "How many samples.", lower_bound=1, upper_bound=4096)
_SEED = flags.DEFINE_integer("seed", 0, "Of the samples.", lower_bound=0)


def main(command: str, *paths: str) -> None:
    run = trained.load(pathlib.Path(_WORKDIR.value), best=False)
    if run.config.task != "vae" or run.config.get("seeds"):
        raise UserError(f"{_WORKDIR.value} is no run of one autoencoder")
    if bool(paths) != (command == "reconstruct"):
        raise UserError("only reconstruct takes files, and at least one")
    _, test, model = vae.load(run.config)

    def encode(images):
        greys = jnp.asarray(np.stack(images), jnp.float32) / 255
        return model.encode(run.state.params, greys)[0]

    def vector(flag):
        if flag.value is None:
            raise UserError(f"{command} wants --{flag.name}")
        if flag.value.endswith(".npz"):
            return _vector(flag.value, model.network.latents)
        return encode([_image(flag.value, test)])[0]

    if command == "sample":
        shape = _N.value, model.network.latents
        z = jax.random.normal(jax.random.key(_SEED.value), shape)
    elif command == "blend":
        way = latents.spherical if _SPHERICAL.value else latents.linear
        z = way(vector(_A), vector(_B), jnp.linspace(0, 1, _STEPS.value))
    elif command == "analogy":
        a, b, c = vector(_A), vector(_B), vector(_C)
        z = jnp.stack([a, b, c, c + b - a])
    else:
        originals = [_image(path, test) for path in paths]
        z = encode(originals)
    pixels = jax.nn.sigmoid(model.decode(run.state.params, z))
    images = np.uint8(np.round(255 * np.asarray(pixels)))
    columns = {"sample": int(np.ceil(np.sqrt(len(images))))}.get(command, len(images))
    if command == "reconstruct":
        images = np.concatenate([originals, images])
    out = pathlib.Path(_OUT.value or f"latent-{command}.png")
    try:
        picture = figures.sheet(images, columns, height=112)
        print(figures.save(out.parent, out.stem, picture))
        if _NPZ.value:
            np.savez(_NPZ.value, z=np.asarray(z))
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from None


def _image(text, test):
    """[height, width, channels] uint8."""
    if not text.isdigit():
        return fitting.fit(fitting.read(pathlib.Path(text)), test.images)
    if int(text) >= len(test.images):
        raise UserError(f"there are {len(test.images)} test images, from 0; no {text}")
    return test.images[int(text)]


def _vector(path, size):
    """The first of the vectors in a file, [latents] float32."""
    try:
        with np.load(path) as file:
            z = file["z"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} holds no vectors: {error}") from None
    if z.ndim != 2 or z.shape[1] != size:
        raise UserError(f"{path} holds vectors {list(z.shape)}, not [n, {size}]")
    return jnp.asarray(z[0], jnp.float32)


if __name__ == "__main__":
    start.run(main, commands=_COMMANDS, files=True)
