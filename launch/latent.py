"""Explores the latent space of a trained autoencoder.

    python -m launch.latent --workdir=RUN blend --a=3 --b=seven.png
    python -m launch.latent --workdir=RUN sample --n=64 --seed=1
    python -m launch.latent --workdir=RUN reconstruct two.png cat.jpg
    python -m launch.latent --workdir=RUN analogy --a=0 --b=1 --c=2   # c + b - a
    python -m launch.latent --workdir=RUN classify --n=10000

An image is a file (like those of launch.predict), the number of a test image, or an
.npz file that --npz wrote, whose first vector is used. Every command writes a picture,
except classify, which classifies samples and the endpoints of interpolations.
"""

import pathlib

from . import start  # isort: skip, it quietens XLA before anything loads it

from absl import flags
import jax
import jax.numpy as jnp
import numpy as np

from dlx import figures, streams, tasks
from dlx.data import images
from dlx.errors import UserError
from dlx.generative import interpolation
from dlx.generative.measures import modes, reference_classifier
from dlx.runtime import restore

from . import preprocess

_MOST_SAMPLES = 4096  # in a picture
_INTERPOLATIONS = 1000  # that `classify` classifies
_WORKDIR = start.path_flag("workdir", None, "The run's folder.", required=True)
_OUT = start.path_flag("out", None, "The picture; by default latent-COMMAND.png.")
_NPZ = start.path_flag("npz", None, "Also write the vectors, [n, latents], here.")
_A = flags.DEFINE_string("a", None, "An image.")
_B = flags.DEFINE_string("b", None, "An image.")
_C = flags.DEFINE_string("c", None, "An image.")
_STEPS = flags.DEFINE_integer(
    "steps", 9, "Images from a to b, including both.", lower_bound=2
)
_SPHERICAL = flags.DEFINE_bool("spherical", False, "Interpolate spherically.")
_N = flags.DEFINE_integer("n", 64, "The number of samples.", lower_bound=1)
_SEED = flags.DEFINE_integer(
    "seed", 0, "The samples' random seed.", lower_bound=0, upper_bound=2**32 - 1
)


def main(command: str, *paths: str) -> None:
    run = restore.load(_WORKDIR.value, tasks.make, best=False)
    make_codec = tasks.abilities(run.config).encode
    if make_codec is None:
        raise UserError(f"{_WORKDIR.value} is not a run of a single autoencoder")
    if bool(paths) != (command == "reconstruct"):
        raise UserError("reconstruct requires file arguments; other commands take none")
    codec = make_codec(run.config, run.state)
    if command == "classify":
        _classify(run.config, codec)
    else:
        z, pictures, columns = _COMMANDS[command](codec, paths)
        _write(command, z, figures.sheet(pictures, columns, height=112))


def _blend(codec, paths):
    """Interpolates from a to b."""
    del paths
    weights = jnp.linspace(0, 1, _STEPS.value)
    a, b = (_vector(flag, "blend", codec) for flag in (_A, _B))
    z = _interpolation()(a, b, weights)
    return z, codec.decode(z), len(z)


def _sample(codec, paths):
    """Decodes random vectors."""
    del paths
    if _N.value > _MOST_SAMPLES:
        raise UserError(f"--n={_N.value} is more than the maximum, {_MOST_SAMPLES}")
    shape = _N.value, codec.latents
    z = jax.random.normal(streams.key(_SEED.value, "sheet"), shape)
    return z, codec.decode(z), int(np.ceil(np.sqrt(len(z))))


def _reconstruct(codec, paths):
    """Encodes and decodes files; their originals are shown above."""
    originals = [_image(path, codec.test) for path in paths]
    z = codec.encode(originals)
    decoded = codec.decode(z)
    return z, np.concatenate([originals, decoded]), len(decoded)


def _analogy(codec, paths):
    """Computes c + b - a."""
    del paths
    a, b, c = (_vector(flag, "analogy", codec) for flag in (_A, _B, _C))
    z = jnp.stack([a, b, c, c + b - a])
    return z, codec.decode(z), len(z)


# (codec, paths) -> vectors [n, latents], images [m, height, width, channels] uint8, and
# the number of columns to show them in.
_COMMANDS = {
    "blend": _blend,
    "sample": _sample,
    "reconstruct": _reconstruct,
    "analogy": _analogy,
}


def _write(command, z, picture):
    """Writes the picture and, if --npz is given, the vectors."""
    out = _OUT.value or pathlib.Path(f"latent-{command}.png")
    try:
        print(figures.save(out.parent, out.stem, picture))
        if _NPZ.value:
            np.savez(_NPZ.value, z=np.asarray(z))
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}") from None


def _interpolation():
    """The interpolation that --spherical selects."""
    return interpolation.spherical if _SPHERICAL.value else interpolation.linear


def _classify(config, codec):
    """Classifies the endpoints of interpolations, and samples; prints the results."""
    classifier = reference_classifier.load(
        config.dataset, config.data_dir, config.manual_dir
    )
    print(
        f"reference classifier: {classifier.accuracy:.2f} % accuracy on the test split "
        f"of {classifier.dataset}"
    )
    print(f"digest of its parameters: {classifier.digest}")
    pair_key, sample_key = (
        streams.key(_SEED.value, purpose) for purpose in ("between", "sheet")
    )
    pairs = jax.random.randint(
        pair_key, (2, _INTERPOLATIONS), 0, len(codec.test.images)
    )
    means = codec.encode(codec.test.images)
    interpolate = jax.jit(jax.vmap(_interpolation(), in_axes=(0, 0, None)))
    z = interpolate(means[pairs[0]], means[pairs[1]], jnp.linspace(0, 1, 2))
    for weight in (0, 1):
        predicted = np.argmax(classifier(codec.decode(z[:, weight]))[0], axis=1)
        correct = 100 * np.mean(predicted == codec.test.labels[pairs[weight]])
        print(
            f"{_INTERPOLATIONS} interpolations, weight {weight}: {correct:.1f} % "
            "classified correctly"
        )
    z = jax.random.normal(sample_key, (_N.value, codec.latents))
    log_probs, _ = classifier(codec.decode(z))
    shares = modes.shares(np.argmax(log_probs, axis=1), len(classifier.names))
    percents = ", ".join(
        f"{name} {100 * share:.1f}"
        for name, share in zip(classifier.names, shares, strict=True)
    )
    print(f"{_N.value} samples, percent of each class: {percents}")
    print(f"mean confidence {100 * np.mean(np.exp(log_probs.max(axis=1))):.1f} %")


def _vector(flag, command, codec):
    """The vector of a flag's image, [latents] float32."""
    if flag.value is None:
        raise UserError(f"{command} requires --{flag.name}")
    if flag.value.endswith(".npz"):
        return _read_vector(flag.value, codec.latents)
    return codec.encode([_image(flag.value, codec.test)])[0]


def _image(text, test):
    """The image that a number or a path names, [height, width, channels] uint8."""
    if not text.isdigit():
        return preprocess.named(text, images.read(text), test.images)
    if int(text) >= len(test.images):
        last = len(test.images) - 1
        raise UserError(f"no test image {text}; they are numbered 0 ... {last}")
    return test.images[int(text)]


def _read_vector(path, size):
    """The first vector of a file, [latents] float32."""
    try:
        with np.load(path) as file:
            z = file["z"]
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{path} holds no vectors: {error}") from None
    if z.ndim != 2 or z.shape[1] != size:
        raise UserError(f"{path} holds vectors {list(z.shape)}, not [n, {size}]")
    return jnp.asarray(z[0], jnp.float32)


if __name__ == "__main__":
    start.run(main, commands=(*_COMMANDS, "classify"), files=True)
