"""The latent vectors of a trained autoencoder, from the command line."""

import subprocess
import sys

import jax
import numpy as np
from PIL import Image
import pytest

from dlx import figures, tasks
from dlx.data import sources
from dlx.generative.vae import task as vae
from dlx.runtime import loop, restore


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    from configs import vae_mnist

    config = vae_mnist.get_config()
    config.dataset, config.features, config.latents = "digits", (32,), 4
    config.num_steps = config.eval_steps = config.checkpoint_steps = 240
    config.last_eval_samples = 50
    folder = tmp_path_factory.mktemp("run")
    with jax.debug_key_reuse(False):
        loop.train(tasks.make(config), config, folder, name="digits")
    return folder


def _latent(workdir, *arguments):
    program = [sys.executable, "-m", "launch.latent", f"--workdir={workdir}"]
    program += map(str, arguments)
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_blend_begins_and_ends_with_the_reconstructions(workdir, tmp_path):
    seven = tmp_path / "seven.png"
    image = sources.load("digits", "test").images[7, ..., 0]
    Image.fromarray(image).save(seven)
    run = restore.load(workdir, tasks.make, best=False)
    modality, model = vae.load(run.config)
    images = modality.test.images[[3, 7]]
    means, _ = model.encode(run.state.params, images / np.float32(255))
    pixels = np.asarray(jax.nn.sigmoid(model.decode(run.state.params, means)))
    ends = figures.sheet(np.uint8(np.round(255 * pixels)), 2, height=112)
    width = ends.shape[1] // 2
    for way in ("--nospherical", "--spherical"):
        out, npz = tmp_path / "blend.png", tmp_path / "z.npz"
        code, said, err = _latent(
            workdir, "blend", "--a=3", "--b=7", "--steps=5", way, f"--out={out}",
            f"--npz={npz}",
        )  # fmt: skip
        assert (code, said.strip()) == (0, str(out)), err
        np.testing.assert_allclose(np.load(npz)["z"][[0, -1]], means, atol=1e-5)
        assert np.load(npz)["z"].shape == (5, 4)
        blend = np.asarray(Image.open(out), np.int16)
        assert np.abs(blend[:, :width] - ends[:, :width]).max() <= 1
        assert np.abs(blend[:, -width:] - ends[:, -width:]).max() <= 1
    code, _, err = _latent(
        workdir, "reconstruct", seven, seven, f"--out={tmp_path / 'two.png'}"
    )
    assert code == 0, err
    two = np.asarray(Image.open(tmp_path / "two.png"))
    assert two.shape[0] == two.shape[1] == 2 * width, "originals above"


def test_samples_follow_from_the_seed(workdir, tmp_path):
    files = []
    for number, seed in enumerate((1, 1, 2)):
        files.append(tmp_path / f"{number}.png")
        code, _, err = _latent(
            workdir, "sample", "--n=10", f"--seed={seed}", f"--out={files[-1]}"
        )
        assert code == 0, err
    same, again, other = (path.read_bytes() for path in files)
    assert same == again != other


def test_an_analogy_from_vectors_and_images(workdir, tmp_path):
    z = tmp_path / "z.npz"
    code, _, err = _latent(
        workdir, "sample", "--n=1", f"--npz={z}", f"--out={tmp_path / 'a.png'}"
    )
    assert code == 0, err
    code, _, err = _latent(
        workdir, "analogy", f"--a={z}", "--b=1", "--c=2",
        f"--npz={tmp_path / 'four.npz'}", f"--out={tmp_path / 'a.png'}",
    )  # fmt: skip
    assert code == 0, err
    a, b, c, d = np.load(tmp_path / "four.npz")["z"]
    np.testing.assert_allclose(d, c + b - a, atol=1e-6)
    np.testing.assert_allclose(a, np.load(z)["z"][0])


@pytest.mark.slow
@pytest.mark.usefixtures("digits_classifier")
def test_the_classifier_agrees_with_the_labels_of_the_reconstructions(workdir):
    code, said, err = _latent(workdir, "classify", "--n=500")
    assert code == 0, err
    accuracy, first, second, shares, confidence = said.strip().splitlines()[-5:]
    assert float(accuracy.split()[2]) > 95, "on the test split"
    for line in (first, second):
        assert float(line.split()[4]) > 20, "chance is 10"
    percents = [float(part.split()[-1]) for part in shares.split(":")[1].split(",")]
    assert len(percents) == 10 and abs(sum(percents) - 100) < 1
    assert 10 < float(confidence.split()[2]) <= 100


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (
            ("blend", "--a=360", "--b=1"),
            "no test image 360; they are numbered 0 ... 359",
        ),
        (("blend", "--a=1"), "blend requires --b"),
        (("blend", "--a=1", "--b=OTHER"), "holds vectors [2, 3], not [n, 4]"),
        pytest.param(
            *(("blend", "--a=1", "--b=nothing.png"), "cannot read nothing.png"),
            marks=pytest.mark.slow,
        ),
        (
            ("reconstruct",),
            "reconstruct requires file arguments; other commands take none",
        ),
        pytest.param(
            *(
                ("sample", "a.png"),
                "reconstruct requires file arguments; other commands take none",
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *(
                ("walk",),
                "missing command; choose one of: blend, sample, reconstruct,",
            ),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *(("sample", "--n=5000"), "--n=5000 is more than the maximum, 4096"),
            marks=pytest.mark.slow,
        ),
        (("sample", "--out=/proc/no/s.png"), "cannot write"),
    ],
)
def test_invalid_arguments_are_one_line(workdir, tmp_path, arguments, why):
    np.savez(tmp_path / "other.npz", z=np.zeros((2, 3)))
    other = str(tmp_path / "other.npz")
    code, _, err = _latent(workdir, *(a.replace("OTHER", other) for a in arguments))
    assert code == 2 and why in err and err.count("\n") == 1
