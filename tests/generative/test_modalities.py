"""Sounds and texts: loading, metrics, and files to hear and read."""

import types
import wave

import numpy as np
from PIL import Image
import pytest

from dlx import figures, tasks
from dlx.data import corpora, sources, spectrograms, tfds
from dlx.errors import UserError
from dlx.generative.modalities import sounds, texts
from dlx.runtime import loop


@pytest.fixture
def tones(tmp_path, monkeypatch):
    """A data set like spoken_digit: tones of two pitches and different lengths."""
    generator = np.random.default_rng(0)
    examples = []
    for number in range(80):
        pitch = 400 * (1 + number % 2) * generator.uniform(0.9, 1.1)
        time = np.arange(generator.integers(200, 400)) / 8000
        loud = np.round(20_000 * np.sin(2 * np.pi * pitch * time))
        examples.append({"audio": loud.astype(np.int64), "label": number % 2})
    label = types.SimpleNamespace(names=["low", "high"])
    features = {"audio": types.SimpleNamespace(sample_rate=8000), "label": label}
    info = types.SimpleNamespace(features=features)
    builder = types.SimpleNamespace(
        name="tones", info=info, as_data_source=lambda _: list(examples)
    )
    monkeypatch.setattr(tfds, "prepared", lambda *_: builder)
    return examples


@pytest.fixture
def wavegan():
    from configs import wavegan_digits

    config = wavegan_digits.get_config()
    config.length, config.factor = 512, (4, 1)
    config.g_channels, config.d_channels = (4, 4), ((4, 4),)
    config.batch_size, config.latents = 16, 4
    config.num_steps = config.log_steps = config.eval_steps = 2
    config.checkpoint_steps = 2
    config.eval_samples = config.last_eval_samples = 40
    return config


def test_long_sounds_are_cropped_and_short_ones_padded(tones):
    data = sources.load_sounds("tones", "train", 300)
    test = sources.load_sounds("tones", "test", 300)
    assert data.samples.shape == (72, 300) and data.samples.dtype == np.int16
    assert (data.rate, data.names) == (8000, ["low", "high"])
    tested = tones[::10]
    del tones[::10]
    sounds_read = np.concatenate([data.samples, test.samples])
    for example, sound in zip([*tones, *tested], sounds_read, strict=True):
        audio, extra = example["audio"], len(example["audio"]) - 300
        if extra >= 0:
            np.testing.assert_array_equal(sound, audio[extra // 2 :][:300])
        else:
            before = -extra // 2
            np.testing.assert_array_equal(sound[before:][: len(audio)], audio)
            assert not sound[:before].any() and not sound[before + len(audio) :].any()


@pytest.mark.usefixtures("tones")
def test_a_speaker_can_be_held_out(tones):
    for number, example in enumerate(tones):
        example["audio/filename"] = f"{number % 2}_{'ann' if number < 30 else 'bob'}"
    train, test = (
        sources.load_sounds("tones@ann", split, 300) for split in ("train", "test")
    )
    assert len(test.labels) == 30 and len(train.labels) == 50
    first = tones[30]["audio"][:300]
    assert np.isin(first[100:110], train.samples[0]).all()
    for name in ("tones@carl", "tones@_"):
        with pytest.raises(UserError, match=f"{name}: .* names of files have"):
            sources.load_sounds(name, "train", 300)


@pytest.mark.usefixtures("tones")
def test_sounds_are_images_under_a_prefix():
    test = sources.load("spectrograms:tones", "test")
    assert test.images.shape == (8, *spectrograms.SHAPE) and test.names == [
        "low",
        "high",
    ]
    whole = sources.load_sounds("tones", "test", spectrograms.LENGTH)
    np.testing.assert_array_equal(test.images, spectrograms.from_sounds(whole.samples))
    lit = test.images[..., 0].max(axis=2).argmax(axis=1)
    pitch = 8000 * (63 - lit) / 128
    assert np.all((pitch > 600) == (test.labels == 1))


@pytest.mark.usefixtures("tones")
def test_a_flow_of_spectrograms_writes_sounds(tmp_path):
    from configs import flow_spoken

    config = flow_spoken.get_config()
    config.dataset, config.reference_classifier = "spectrograms:tones", False
    config.widths, config.heads, config.batch_size, config.solver_steps = (8,), 0, 8, 2
    config.num_steps = config.log_steps = config.eval_steps = 1
    config.warmup_steps = 0
    config.checkpoint_steps = 1
    config.eval_samples = config.last_eval_samples = 8
    summary = loop.train(tasks.make(config), config, tmp_path, name="tones")
    assert summary["status"] == "done"
    with wave.open(str(tmp_path / "figures" / "samples.wav")) as file:
        assert file.getframerate() == 8000 and file.getnframes() == 10 * (4096 + 2000)
    sheet = np.asarray(Image.open(tmp_path / "figures" / "sheet.png"))
    assert sheet.shape[0] < sheet.shape[1] / 4, "a row of eight for each of two classes"
    config.dataset = "digits"
    with pytest.raises(UserError, match="spectrograms:NAME"):
        tasks.make(config)


@pytest.mark.usefixtures("tones")
def test_sounds_that_do_not_fit_into_memory_are_refused():
    with pytest.raises(UserError, match=r"config.length=1000000000000: 72 .* take"):
        sources.load_sounds("tones", "train", 10**12)


def test_a_data_set_of_images_has_no_sounds(monkeypatch):
    info = types.SimpleNamespace(features={"image": None, "label": None})
    builder = types.SimpleNamespace(name="mnist", info=info)
    monkeypatch.setattr(tfds, "prepared", lambda *_: builder)
    with pytest.raises(UserError, match="image, label; it needs 'audio' and"):
        sources.load_sounds("mnist", "train", 100)


def test_the_spectrum_of_a_tone_peaks_at_its_pitch():
    time = np.arange(4096) / 8000
    power = sounds._power(np.sin(2 * np.pi * 1000 * time))
    assert np.all(np.argmax(power, axis=-1) == 1000 / 8000 * 256)


@pytest.mark.usefixtures("tones")
def test_sounds_are_measured_and_mode_collapse_is_reported(wavegan, caplog):
    modality = sounds.Sounds(wavegan)
    real = modality._real[:, :, None, None]
    assert not modality.measure(real, 5)["collapsed"] and not caplog.messages
    assert abs(modality.measure(real, 5)["fid_spectrum"]) < 1e-3
    one = modality.measure(np.repeat(real[:1], 64, axis=0), 5)
    assert one["collapsed"] and one["fid_spectrum"] > 1 and one["distance"] == 0
    assert caplog.messages[0].startswith(
        "step 5: possible mode collapse: mean pairwise distance of spectra 0.00 (real "
    )


@pytest.mark.usefixtures("tones")
def test_a_run_writes_sounds(wavegan, tmp_path):
    summary = loop.train(tasks.make(wavegan), wavegan, tmp_path, name="tones")
    numbers = summary["metrics"]
    assert summary["status"] == "done" and numbers["fid_samples"] == 8
    for name in ("fid_spectrum", "fid_spectrum_held_out", "fid_spectrum_floor"):
        assert np.isfinite(numbers[name]) and f"last_{name}" in numbers
    with wave.open(str(tmp_path / "figures" / "samples.wav")) as file:
        assert file.getframerate() == 8000 and file.getsampwidth() == 2
        assert file.getnframes() == 8 * (512 + 2000)
    assert (tmp_path / "figures" / "sheet.png").exists()


def test_a_sound_is_written_unchanged(tmp_path):
    samples = np.array([0.0, 0.5, -1.0, 2.0], np.float32)
    path = figures.save(tmp_path, "x", figures.Sound(samples, 100))
    with wave.open(str(path)) as file:
        frames = np.frombuffer(file.readframes(4), "<i2")
    assert frames.tolist() == [0, 16384, -32767, 32767], "values are clipped"


@pytest.fixture
def textgan():
    from configs import textgan

    config = textgan.get_config()
    config.length, config.g_channels, config.d_channels = 16, (4, 4), ((4, 4),)
    config.batch_size, config.latents = 16, 4
    config.num_steps = config.checkpoint_steps = 2
    config.log_steps = config.eval_steps = 1
    config.eval_samples = config.last_eval_samples = 40
    return config


def test_the_corpus_is_pythons_language_reference(textgan):
    lines = texts.Texts(textgan)._lines
    assert len(lines) > 50_000 and {len(line) for line in lines} == {16}
    assert "assert statement" in lines


def _one_hot(lines):
    codes = corpora.encode(lines)
    return np.eye(len(corpora.CHARACTERS), dtype=np.float32)[codes][:, :, None]


def test_real_lines_are_precise_and_a_repeated_line_is_mode_collapse(textgan, caplog):
    modality = texts.Texts(textgan)
    one_hot = _one_hot(modality._lines)
    numbers = modality.measure(one_hot, 3)
    assert numbers["ngrams_4"] == numbers["covered_4"] == 100
    assert numbers["new"] == 0 and "words" not in numbers and "listed" not in numbers
    assert not numbers["collapsed"] and not caplog.messages
    same = modality.measure(np.repeat(one_hot[:1], 50, axis=0), 3)
    assert same["collapsed"] and same["different"] == 2 and same["covered_4"] < 2
    assert "step 3: possible mode collapse: only 2.0 % of lines" in caplog.messages[0]


def test_chains_and_held_out_lines_are_measured_beside_samples(textgan, tmp_path):
    (tmp_path / "words").write_text("the\nof\na\nis\nand\nobject\n")
    textgan.validation, textgan.words = 5000, str(tmp_path / "words")
    modality = texts.Texts(textgan)
    assert modality.metric == "words"
    held_out = modality.held_out
    numbers = modality.measure(_one_hot(held_out), 0)
    for name in ("ngrams_4", "ngrams_6", "words", "new"):
        assert numbers[name] == numbers[f"{name}_held_out"], "the same lines"
    real = {line[i : i + 4] for line in modality._lines for i in range(13)}
    found = [line[i : i + 4] in real for line in held_out for i in range(13)]
    assert numbers["ngrams_4"] == 100 * np.mean(found) < 100
    # All that follows three characters in a chain of order 3 follows them in the text,
    # except after characters that only end lines.
    assert numbers["ngrams_4_chain_2"] < 99.9 < numbers["ngrams_4_chain_3"]
    assert numbers["ngrams_6_chain_2"] < numbers["ngrams_6_chain_4"] < 100
    known = {"the", "of", "a", "is", "and", "object"}
    whole = [w for line in held_out for w in f"{line}x".translate(_BREAKS).split()[:-1]]
    shared = 100 * np.mean([word in known for word in whole])
    np.testing.assert_allclose(numbers["words"], shared, atol=0.2)  # for apostrophes


_BREAKS = str.maketrans(".,-", "   ")


def test_lines_are_listed_new_or_found(textgan, tmp_path):
    names = ["ada", "bea", "cleo", "dora", "edna", "fay", "gwen", "hilda"] * 5
    names = [f"{name}{end}" for end in "abcde" for name in names[:8]]
    (tmp_path / "names").write_text("\n".join(names))
    textgan.corpus, textgan.examples = str(tmp_path / "names"), "lines"
    textgan.validation = 10
    modality = texts.Texts(textgan)
    assert (len(modality._lines), len(modality.held_out)) == (30, 10)
    made = [modality._lines[0], modality._lines[1], modality.held_out[0], "xylaaaa"]
    numbers = modality.measure(_one_hot([line.ljust(16) for line in made]), 0)
    assert (numbers["listed"], numbers["new"], numbers["found"]) == (75, 50, 25)
    assert numbers["found_held_out"] == numbers["new_held_out"] == 100
    # Padding is no text: of ' xylaaaa ' only n-grams with 'aaa' may be real.
    alone = modality.measure(_one_hot(["xylxylxyl".ljust(16)] * 2), 0)
    assert alone["ngrams_2"] == alone["ngrams_4"] == 0


def test_a_run_writes_lines(textgan, tmp_path):
    summary = loop.train(tasks.make(textgan), textgan, tmp_path, name="text")
    assert summary["status"] == "done"
    lines = (tmp_path / "figures" / "samples.txt").read_text().splitlines()
    assert len(lines) == 64 and {len(line) for line in lines} == {16}
    assert (tmp_path / "figures" / "sheet.png").exists()
    assert Image.open(tmp_path / "figures" / "training.gif").n_frames == 2
