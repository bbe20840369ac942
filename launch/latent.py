"""Plays with the latent vectors of a trained autoencoder.

    python -m launch.latent --workdir=RUN blend --a=3 --b=seven.png
    python -m launch.latent --workdir=RUN sample --n=64 --seed=1
    python -m launch.latent --workdir=RUN reconstruct two.png cat.jpg
    python -m launch.latent --workdir=RUN analogy --a=0 --b=1 --c=2   # c + b - a
    python -m launch.latent --workdir=RUN judge --n=10000

An image is a file, as for launch.predict, the number of one of the test split's, or an
.npz that --npz has written: its first vector. Each writes a picture; but judge asks a
classifier what it sees in both ends of blends and in samples, and prints that.
"""

import pathlib

from launch import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
import jax
import jax.numpy as jnp
import numpy as np

from dlx import figures, streams, tasks
from dlx.data import images as pictures
from dlx.errors import UserError
from dlx.generative import interpolation
from dlx.generative.measures import modes, reference_classifier
from dlx.runtime import restore
from launch import preprocess

_COMMANDS = ("blend", "sample", "reconstruct", "analogy", "judge")
_MOST = 4096  # samples in a picture
_BLENDS = 1000  # that judge makes
_WORKDIR = start.path_flag("workdir", None, "The run's folder.", required=True)
_OUT = start.path_flag("out", None, "The picture; by default latent-COMMAND.png.")
_NPZ = start.path_flag("npz", None, "Where to write the vectors, [n, latents].")
_A = flags.DEFINE_string("a", None, "An image.")
_B = flags.DEFINE_string("b", None, "An image.")
_C = flags.DEFINE_string("c", None, "An image.")
_STEPS = flags.DEFINE_integer("steps", 9, "From a to b, both included.", lower_bound=2)
_SPHERICAL = flags.DEFINE_bool("spherical", False, "Blend round the origin.")
_N = flags.DEFINE_integer("n", 64, "How many samples.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Of the samples.", lower_bound=0)


def main(command: str, *paths: str) -> None:
    run = restore.load(_WORKDIR.value, tasks.make, best=False)
    encode = tasks.abilities(run.config).encode
    if encode is None:
        raise UserError(f"{_WORKDIR.value} is no run of one autoencoder")
    if bool(paths) != (command == "reconstruct"):
        raise UserError("only reconstruct takes files, and at least one")
    codec = encode(run.config, run.state)
    test, encode, decode = codec.test, codec.encode, codec.decode

    def vector(flag):
        if flag.value is None:
            raise UserError(f"{command} wants --{flag.name}")
        if flag.value.endswith(".npz"):
            return _vector(flag.value, codec.latents)
        return encode([_image(flag.value, test)])[0]

    if command == "judge":
        return _judge(run.config, codec)
    if command == "sample":
        if _N.value > _MOST:
            raise UserError(f"--n={_N.value} is more than a picture's {_MOST}")
        shape = _N.value, codec.latents
        z = jax.random.normal(streams.key(_SEED.value, "sheet"), shape)
    elif command == "blend":
        z = _way()(vector(_A), vector(_B), jnp.linspace(0, 1, _STEPS.value))
    elif command == "analogy":
        a, b, c = vector(_A), vector(_B), vector(_C)
        z = jnp.stack([a, b, c, c + b - a])
    else:
        originals = [_image(path, test) for path in paths]
        z = encode(originals)
    images = decode(z)
    columns = {"sample": int(np.ceil(np.sqrt(len(images))))}.get(command, len(images))
    if command == "reconstruct":
        images = np.concatenate([originals, images])
    out = _OUT.value or pathlib.Path(f"latent-{command}.png")
    try:
        picture = figures.sheet(images, columns, height=112)
        print(figures.save(out.parent, out.stem, picture))
        if _NPZ.value:
            np.savez(_NPZ.value, z=np.asarray(z))
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from None


def _way():
    """How to get from one vector to another."""
    return interpolation.spherical if _SPHERICAL.value else interpolation.linear


def _judge(config, codec):
    """What a classifier sees in both ends of blends, and in samples."""
    see = reference_classifier.load(config.dataset, config.data_dir, config.manual_dir)
    print(f"the judge: {see.accuracy:.2f} % of {see.dataset}'s test split right")
    print(f"its parameters' digest: {see.digest}")
    pair_key, sample_key = (
        streams.key(_SEED.value, purpose) for purpose in ("between", "sheet")
    )
    pairs = jax.random.randint(pair_key, (2, _BLENDS), 0, len(codec.test.images))
    means = codec.encode(codec.test.images)
    ends = jax.jit(jax.vmap(_way(), in_axes=(0, 0, None)))
    z = ends(means[pairs[0]], means[pairs[1]], jnp.linspace(0, 1, 2))
    for weight in (0, 1):
        seen = np.argmax(see(codec.decode(z[:, weight]))[0], axis=1)
        right = 100 * np.mean(seen == codec.test.labels[pairs[weight]])
        print(f"{_BLENDS} blends at weight {weight}: {right:.1f} % as the label says")
    z = jax.random.normal(sample_key, (_N.value, codec.latents))
    log_probs, _ = see(codec.decode(z))
    shares = modes.shares(np.argmax(log_probs, axis=1), len(see.names))
    each = ", ".join(
        f"{name} {100 * share:.1f}"
        for name, share in zip(see.names, shares, strict=True)
    )
    print(f"{_N.value} samples, percent taken for each class: {each}")
    print(f"mean confidence {100 * np.mean(np.exp(log_probs.max(axis=1))):.1f} %")


def _image(text, test):
    """[height, width, channels] uint8."""
    if not text.isdigit():
        return preprocess.fit(pictures.read(text), test.images)
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
