"""The page in a real browser, operated like a person would."""

from concurrent import futures
import contextlib
import itertools
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import jax
import numpy as np
from PIL import Image
import pytest

from configs import dcgan_digits, fast_style, mlp_mnist, pg_rocks8, vae_mnist
from dlx import streams, tasks
from dlx.envs import measure, rocks
from dlx.runtime import checkpoint, devices, loop, provenance, restore
from dlx.runtime.digests import digest
from dlx.runtime.evaluate import evaluate
from launch.gallery import first, style
from launch.gallery.page import make as make_page
from launch.report import runs

gradio = pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(not BROWSER, reason="there is no Chromium here")
_PATIENCE = 60_000  # milliseconds, of a loaded machine
SHOTS = os.environ.get("DLX_SCREENSHOTS")  # a folder to keep some in
_SESSIONS = itertools.count()


def _begin(config, folder, **settings):
    """A run of no steps: its config, and a checkpoint of its first state."""
    config.update(settings)
    task, keys = tasks.make(config), streams.Keys(config.seed)
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    with checkpoint.of_run(task, folder) as checkpoints:
        checkpoints.save(0, devices.init(task, keys.init), None, {})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Runs of every kind, hardly trained, 100 more, and a damaged one."""
    root = tmp_path_factory.mktemp("root")
    config = pg_rocks8.get_config()
    config.update(
        num_envs=32, features=(16,), num_steps=8, log_steps=2, eval_steps=4,
        checkpoint_steps=4, eval_rocks=100, env={"rocks_per_episode": 3},
    )  # fmt: skip
    loop.train(tasks.make(config), config, root / "rocks", name="rocks")
    digits = {"dataset": "digits"}
    for name in "digits", "other-digits":
        _begin(mlp_mnist.get_config(), root / name, **digits, seed=len(name))
    small = {"latents": 2, "features": (16,)}
    _begin(vae_mnist.get_config(), root / "plane", **digits, **small)
    _begin(
        dcgan_digits.get_config(), root / "gan",
        g_channels=(8, 8), d_channels=((8, 8),), reference_classifier=False,
    )  # fmt: skip
    (root / "gan" / "figures" / "training").mkdir(parents=True)
    for step, colour in (2, "red"), (4, "blue"):
        picture = Image.new("RGB", (64, 64), colour)
        picture.save(root / "gan" / "figures" / "training" / f"{step:09}.png")
    _begin(
        fast_style.get_config(), root / "painter", weights="random",
        image_size=48, crop=48, channels=(4, 8), blocks=1, style_scale=2.0,
    )  # fmt: skip
    film = {"task": "pqn", "seed": 0, "env": {"name": "gymnax/Breakout-MinAtar"}}
    (root / "film" / "checkpoints" / "4").mkdir(parents=True)
    (root / "film" / "config.json").write_text(json.dumps(film))
    shutil.copytree(root / "rocks" / "figures", root / "film" / "figures")
    for number in range(100):
        _copy(root / "rocks", root / "many" / f"{number:03}")
    (root / "damaged").mkdir()
    (root / "damaged" / "config.json").write_text('{"task": ')
    return root


def _copy(run, folder):
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("checkpoints"))


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    """The server's folder for temporary files, in which it keeps what it serves."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def url(server):
    """The server's address."""
    return server[0]


@pytest.fixture(scope="module")
def server(root, temporary):
    """The address of a server in its own process, and that process."""
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    environment["TMPDIR"] = str(temporary)
    server = subprocess.Popen(
        [sys.executable, "-m", "launch.gallery", f"--root={root}", "--port=0"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment,
    )  # fmt: skip
    said = server.stdout.readline()
    found = re.search(r"http://\S+", said)
    assert found, said + server.stdout.read()
    lines = []
    threading.Thread(target=lambda: lines.extend(server.stdout), daemon=True).start()
    for _ in range(300):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(found[0]).close()
            break
        time.sleep(0.1)
    yield found[0], server.pid
    server.terminate()
    server.wait(20)
    raised = "".join(lines).split("Traceback (most recent call last)")[1:]
    # Gradio logs what it refuses: forged files, values that no component can send, and
    # events of a page that was closed meanwhile, whose dropdowns it has forgotten.
    refusals = (
        "was not uploaded by a user", "gradio.exceptions.Error: ",
        "gradio.exceptions.ComponentProcessingError: ", "in special_args",
        "direct cause of the following exception", "pydantic_core.",
    )  # fmt: skip
    wrong = [why for why in raised if not any(text in why for text in refusals)]
    assert not wrong, "".join(wrong)


@pytest.fixture(scope="module")
def browser():
    sync_api.expect.set_options(timeout=_PATIENCE)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, url):
    """Opens the page, optionally at a tab; its console must show no errors."""
    errors, contexts = [], []

    def open_page(tab=None, **options):
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(_PATIENCE)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda message: message.type == "error" and errors.append(message.text),
        )
        page.goto(url)
        if tab:
            page.get_by_role("tab", name=tab).click()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors


def _shoot(page, name):
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=True)


# The pixels by which a label covers a picture, and by which its box cuts it off.
_HIDDEN = """async picture => {
    await picture.decode().catch(() => {});  // the next one may have come
    const block = picture.closest(".block"), shown = picture.getBoundingClientRect();
    const label = block.querySelector("[data-testid=block-label]");
    return [label ? label.getBoundingClientRect().bottom - shown.top : 0,
            shown.bottom - block.getBoundingClientRect().bottom];
}"""


def _source(page, selector):
    """The source of a picture, once it exists, below its label and within its box."""
    picture = page.locator(f"{selector} img").first
    picture.wait_for()
    assert max(picture.evaluate(_HIDDEN)) < 1, selector
    return picture.get_attribute("src")


def _changes(page, selector, before):
    sync_api.expect(page.locator(f"{selector} img").first).not_to_have_attribute(
        "src", before
    )


def _filter(page, text):
    page.locator("#runs").get_by_placeholder("Filter...").fill(text)


def _choose(page, selector, option):
    page.locator(f"{selector} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def _row(page, *texts):
    """The first row of the table with these texts; waits for it."""
    row = page.locator("#runs [role=row]:visible")
    for text in texts:
        row = row.filter(has_text=text)
    row.first.wait_for()
    return row.first


def test_runs(visit, root):
    page = visit("Runs")
    _filter(page, "many/099")
    _row(page, "many/099", "policy_gradient", "perfect_starts")
    _filter(page, "damaged")
    _row(page, "damaged: config.json is damaged")
    _filter(page, "rocks")
    _row(page, "rocks", "done").get_by_role("gridcell").first.click()
    page.locator("#figures figcaption", has_text="play").wait_for()
    assert page.locator("#figures img").first.evaluate("i => i.naturalWidth") > 0
    page.locator("#curves .scatterlayer .trace").first.wait_for()
    _shoot(page, "runs")
    _filter(page, "digits")
    _row(page, "other-digits").get_by_role("gridcell").first.click()
    page.locator("#shown").get_by_text("other-digits").wait_for()
    _choose(page, "#shown", "digits")
    differing = page.locator("#differing tr", has_text="seed")
    assert differing.inner_text().split() == ["seed", "12", "6"]
    page.keyboard.press("Escape")
    _shoot(page, "two-runs")


def test_a_running_run_moves_by_itself(visit, root):
    folder = root / "moving"
    _copy(root / "rocks", folder)
    try:
        page = visit("Runs")
        _filter(page, "moving")
        _row(page, "moving")
        with (folder / "metrics.jsonl").open("a") as file:
            line = {"step": 123456, "eval/perfect_starts": 7.0, "train_seconds": 9.0}
            file.write(json.dumps(line) + "\n")
        _row(page, "moving", "123456")
    finally:
        shutil.rmtree(folder)


def test_the_first_view(visit):
    """The runs' table comes by itself, though there are more than 100 of them."""
    page = visit("Runs")
    runs = page.locator("#runs [role=gridcell]:visible", has_text="many/")
    runs.first.wait_for()
    assert runs.count() > 3


def test_an_agent_plays_before_anything_was_trained(visit):
    page = visit()
    caught = page.locator("#first .agent figcaption", has_text="agent: 1 of 1")
    caught.wait_for()
    assert not page.locator("#first .you").is_visible()
    page.locator("#first-join").click()
    page.locator("#first .you figcaption", has_text="you: 0 of 0").wait_for()
    _shoot(page, "start")


def test_the_agent_that_dlx_ships_never_misses():
    run = restore.load(first.AGENT, tasks.make)
    numbers = evaluate(run.task, run.keys, run.step, run.state)
    assert numbers["eval/perfect_starts"] == numbers["eval/starts"] == 256
    summary = json.loads((first.AGENT / "summary.json").read_text())
    assert summary["params_sha256"] == digest(run.state.params)
    command = summary["provenance"]["command"]
    assert command.startswith("python -m launch.main --config=configs/pg_rocks16.py ")
    assert sum(path.stat().st_size for path in first.AGENT.iterdir()) < 50_000


def test_films_of_other_games(visit):
    page = visit("Other games")
    page.get_by_text("gymnax/Breakout-MinAtar").wait_for()
    _source(page, "#film")
    _shoot(page, "films")


def test_results_of_the_runs(visit, root):
    page = visit("Results")
    page.locator("#results td", has_text="rocks").first.wait_for()
    assert "Single runs" in page.locator("#results").inner_text()
    assert provenance.machine() in page.locator("#results").inner_text()


def test_watching_an_agent(visit):
    page = visit("Rocks")
    sync_api.expect(page.locator("#player input")).to_have_value("rocks")
    page.locator("#watch").click()
    page.locator("#board .agent figcaption", has_text="of 1").wait_for()
    said = page.locator("#board output").all_inner_texts()
    shares = [int(text.removesuffix(" %")) for text in said]
    assert len(shares) == 3 and 98 <= sum(shares) <= 102
    assert not page.locator("#board .you").is_visible()
    _shoot(page, "watching")


def test_playing_with_the_arrow_keys(visit):
    """Simulates a person who moves to the rock's column."""
    page = visit("Rocks")
    sync_api.expect(page.locator("#player input")).to_have_value("rocks")
    page.get_by_label("number input for Rocks a game").fill("3")
    page.keyboard.press("Tab")
    page.locator("#join").click()
    page.locator("#board .you figcaption", has_text="you: 0 of 0").wait_for()
    look = """() => {
        const canvas = document.querySelector('#board .you canvas');
        const n = canvas.width, context = canvas.getContext('2d');
        const d = context.getImageData(0, 0, n, n).data;
        const red = (row, column) => d[4 * (row * n + column)];
        let rock = null, paddle = null;
        for (let column = 0; column < n; column++) {
          if (red(n - 1, column) !== 24) paddle = column;
          for (let row = 0; row < n - 1; row++)
            if (red(row, column) === 255) rock = column;
        }
        return [rock, paddle];
    }"""
    held = None
    while "caught" not in page.locator("#board-result").inner_text():
        rock, paddle = page.evaluate(look)
        wanted = None
        if rock is not None and rock != paddle:
            wanted = "ArrowLeft" if rock < paddle else "ArrowRight"
        if wanted != held:
            if held:
                page.keyboard.up(held)
            if wanted:
                page.keyboard.down(wanted)
            held = wanted
    said = page.locator("#board-result").inner_text()
    _shoot(page, "playing")
    counted = page.locator("#board .you figcaption").inner_text()
    caught, of = map(int, re.findall(r"\d+", counted))
    assert of == 3 and caught >= 1  # the browser's count and the game's own
    assert re.search(rf"You caught {caught} of 3, the agent \d", said)
    agents = page.locator("#board .agent figcaption").inner_text()
    assert said.endswith(f"the agent {re.findall(r'[0-9]+', agents)[0]}.")


def test_a_digit_is_read(visit):
    page = visit("Digits")
    sheet = page.locator("#pad canvas")
    page.locator("#readers").get_by_text("other-digits").wait_for()
    box = sheet.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"]
    page.mouse.move(x, y + 40)
    page.mouse.down()
    for down in range(40, 240, 10):
        page.mouse.move(x, y + down)
    page.mouse.up()
    rows = page.locator("#answer tr")
    rows.nth(2).wait_for()
    for row in rows.nth(1), rows.nth(2):
        shares = [int(text) for text in row.locator("td").all_inner_texts()[1:]]
        assert len(shares) == 10 and 95 <= sum(shares) <= 105
    _shoot(page, "digits")
    page.locator("#pad button").click()
    sync_api.expect(page.locator("#answer tr")).to_have_count(0)


def test_a_latent_space(visit):
    page = visit("Latent space")
    before = _source(page, "#blend")
    page.get_by_label("number input for Weight of the second").fill("1")
    page.keyboard.press("Tab")
    _changes(page, "#blend", before)
    before = _source(page, "#samples")
    page.locator("#sample").click()
    _changes(page, "#samples", before)
    before = _source(page, "#moved")
    page.locator("#plane img").click(position={"x": 20, "y": 20})
    _changes(page, "#moved", before)
    corner = page.get_by_label("number input for z0").input_value()
    assert -3 <= float(corner) < -2
    _shoot(page, "latent")


def test_no_choice_of_a_visitor_is_dropped(tmp_path):
    """A second move while the first is handled is handled too: the page shows it."""
    made = make_page(tmp_path, weights="random")
    modes = {}
    for function in made.fns.values():
        for block, event in function.targets:
            chooses = isinstance(
                made.blocks.get(block), (gradio.Image, gradio.Dataframe)
            )
            if event in ("input", "change") or (event == "select" and chooses):
                modes[block, event] = function.trigger_mode
    assert len(modes) > 20
    assert set(modes.values()) == {"always_last"}


def test_a_generator(visit):
    page = visit("Samples")
    before = _source(page, "#sheet")
    page.get_by_label("number input for Seed").fill("5")
    page.keyboard.press("Tab")
    _changes(page, "#sheet", before)
    before = _source(page, "#frame")
    page.get_by_text("after 4 steps").wait_for()
    page.get_by_label("number input for Evaluation").fill("0")
    page.keyboard.press("Tab")
    _changes(page, "#frame", before)
    page.get_by_text("after 2 steps").wait_for()
    _shoot(page, "gan")


def _upload(page, path):
    """Chooses a photograph, as soon as the tab is filled."""
    sync_api.expect(page.locator("#fast input")).to_have_value("painter")
    page.locator("#content input[type=file]").set_input_files(path)
    page.locator("#content img").wait_for()


def _upload_noise(page, folder):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    _upload(page, folder / "noise.png")
    page.get_by_label("number input for Longer side, pixels").fill("64")
    page.keyboard.press("Tab")


def test_a_picture_is_painted_at_once(visit, tmp_path):
    page = visit("Style")
    _upload_noise(page, tmp_path)
    page.locator("#at-once").click()
    _source(page, "#made")
    page.locator("#progress", has_text="ms").wait_for()
    assert "textures but not objects" in page.locator("#said").inner_text()


@pytest.mark.slow
def test_a_picture_forms(visit, tmp_path):
    page = visit("Style")
    _upload_noise(page, tmp_path)
    page.locator("#paint").click()
    forming = page.locator("#progress", has_text=re.compile(r"Step \d+ of 200"))
    forming.wait_for(timeout=90_000)
    before = _source(page, "#forming")
    assert before.startswith("data:")  # a file for each would fill the disk
    _changes(page, "#forming", before)
    _shoot(page, "style")
    page.get_by_role("button", name="Stop").click()


def test_an_invalid_picture_is_reported(visit, tmp_path):
    (tmp_path / "no.png").write_text("nothing")
    page = visit("Style")
    _upload(page, tmp_path / "no.png")
    page.locator("#at-once").click()
    page.get_by_text("the file is not a picture").first.wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1300])
def test_every_tab_fits_the_screen(visit, width, scheme):
    page = visit(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.get_by_role("tab", name="Runs").wait_for()
    for tab in (
        *("Start", "Runs", "Rocks", "Other games", "Digits", "Latent space"),
        *("Samples", "Style", "Results"),
    ):
        found = page.get_by_role("tab", name=tab)
        if not found.is_visible():  # behind the three dots of a narrow screen
            page.locator(".overflow-menu button").first.click()
            found = page.get_by_role("button", name=tab, exact=True)
        found.click()
        page.wait_for_timeout(300)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width + 1, tab
        _shoot(page, f"{tab.split()[0].lower()}-{width}-{scheme}")


@pytest.mark.parametrize("number", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_visitors_at_once(visit, number):
    pages = [visit("Rocks") for _ in range(number)]
    for page in pages:
        sync_api.expect(page.locator("#player input")).to_have_value("rocks")
        page.locator("#watch").click()
    for page in pages:
        page.locator("#board .agent figcaption", has_text="of 1").wait_for()


def _status(url, path, **options):
    try:
        with urllib.request.urlopen(urllib.request.Request(url + path, **options)) as r:
            return r.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd", "../../../../etc/passwd", "%2e%2e/%2e%2e/etc/passwd",
        "README.md", "http://localhost:1/", "{root}/rocks/config.json",
        "/proc/self/environ", "{root}/static/secret", "/etc/passwd/static/",
    ],
)  # fmt: skip
def test_no_file_is_served(url, root, path):
    for route in "/gradio_api/file=", "/file=", "/gradio_api/file/", "/file/":
        assert _status(url, route + path.format(root=root)) in (403, 404)


def _fire(url, event, data, session=None):
    """Lets the server handle an event; returns its last message."""
    session = session or f"session-{next(_SESSIONS)}"
    body = {"data": data, "fn_index": event["id"], "session_hash": session}
    request = urllib.request.Request(
        f"{url}/gradio_api/queue/join",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request).close()
    with urllib.request.urlopen(
        f"{url}/gradio_api/queue/data?session_hash={session}"
    ) as stream:
        for line in stream:
            if not line.startswith(b"data:"):
                continue
            message = json.loads(line.removeprefix(b"data:"))
            if message["msg"] == "process_completed":
                return message
    return None


def test_no_event_copies_a_file_that_nobody_uploaded(url, tmp_path, temporary):
    """Sends events that name a file of the server as if it had been uploaded."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"nobody is to read this")
    forged = {"path": str(secret), "meta": {"_type": "gradio.FileData"}}
    with urllib.request.urlopen(f"{url}/config") as page:
        config = json.load(page)
    parts = {part["id"]: part for part in config["components"]}
    tried = 0
    for event in config["dependencies"]:
        for place, part in enumerate(event["inputs"] if event["backend_fn"] else []):
            if parts[part]["type"] == "state":
                continue  # the server has its own, whatever an event says
            usual = [parts[each]["props"].get("value") for each in event["inputs"]]
            usual[place] = forged if tried % 2 else [{"deep": forged}]
            said = _fire(url, event, usual)
            assert not said["success"], (event["api_name"], parts[part]["type"])
            assert "was not uploaded by a user" in said["output"]["error"]
            tried += 1
    assert tried > 100
    copies = [path for path in temporary.rglob("*") if path.is_file()]
    assert not [path for path in copies if path.read_bytes() == secret.read_bytes()]


_SENSELESS = [None, "x", "", -1, 0.5, 1e308, float("nan"), True, [], [1], ["x"], {}]
_SENSELESS += [{"path": "x"}, {"path": 1, "meta": 1}, {"data": []}, "x" * 10**6]


@pytest.mark.slow
def test_no_event_fails_on_a_value_that_its_component_cannot_send(url):
    """The server's log must have no traceback either; see `url`."""
    with urllib.request.urlopen(f"{url}/config") as page:
        config = json.load(page)
    parts = {part["id"]: part for part in config["components"]}
    usual = {part: parts[part]["props"].get("value") for part in parts}
    for event in config["dependencies"]:  # opens all tabs, which gives them values
        if any(target[1] in ("load", "select") for target in event["targets"]):
            data = [usual[part] for part in event["inputs"]]
            said = _fire(url, event, data, "visitor")
            outputs = said["output"].get("data", [])
            for part, update in zip(event["outputs"], outputs, strict=False):
                if isinstance(update, dict) and "value" in update:
                    usual[part] = update["value"]
    assert sum(isinstance(value, str) for value in usual.values()) > 5
    tried, failed = 0, []
    for event in config["dependencies"]:
        for place, part in enumerate(event["inputs"] if event["backend_fn"] else []):
            if parts[part]["type"] == "state":
                continue  # the server has its own, whatever an event says
            for value in _SENSELESS:
                sent = [usual[each] for each in event["inputs"]]
                sent[place] = value
                said = _fire(url, event, sent, "visitor")
                error = "" if said["success"] else said["output"]["error"]
                is_refused_by_gradio = "Could not preprocess input" in (error or "")
                if error is None or ("Error" in error and not is_refused_by_gradio):
                    failed.append(
                        (event["api_name"], parts[part]["type"], value, error)
                    )
                tried += 1
    assert tried > 500 and not failed, failed


def test_large_uploads_are_refused(url):
    body = b"x" * (11 * 2**20)
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    with contextlib.suppress(
        urllib.error.URLError
    ):  # it may hang up before all is sent
        assert _status(url, "/gradio_api/upload", data=body, headers=kind) == 413


def test_uploads_are_counted_and_tell_their_size(tmp_path):
    from starlette import responses, testclient

    from launch.gallery import server

    guarded = server.Guard(responses.PlainTextResponse("let in"), tmp_path)
    client = testclient.TestClient(guarded)

    def status(content, path="/gradio_api/upload"):
        return client.post(path, content=content).status_code

    assert status(b"x") == 200
    assert status(iter([b"x"])) == 411, "of no stated length"
    assert status(bytes(server.LARGEST_UPLOAD + 2**16 + 1)) == 413
    for number in range(server.MOST_UPLOADS):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}" / "picture.png").touch()
    assert status(b"x") == 429
    assert status(b"x", "/gradio_api/queue/join") == 200, (
        "other requests are not limited"
    )
    (tmp_path / "0" / "picture.png").unlink()
    assert status(b"x") == 200


@pytest.mark.parametrize(
    "name", ["..", "../x", "/etc", "rocks/../..", "link", "link/x", "", "a\0b"]
)
def test_no_path_leads_out_of_the_root(root, tmp_path, name):
    link = root / "link"
    if not link.is_symlink():
        (tmp_path / "x").mkdir()
        link.symlink_to(tmp_path)
    with pytest.raises(runs.UserError):
        runs.named(root, name)


def test_symbolic_links_in_a_run_are_not_followed(root, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    folder = tmp_path / "runs" / "run"
    shutil.copytree(root / "rocks", folder)
    (folder / "figures" / "secret.txt").symlink_to(secret)
    (folder / "metrics.jsonl").unlink()
    (folder / "metrics.jsonl").symlink_to(secret)
    (folder / "summary.json").unlink()
    (folder / "summary.json").symlink_to(secret)
    (run,) = runs.find(folder.parent)
    assert run.is_damaged and "leads out" in run.status
    assert not run.lines and secret.name not in [p.name for p in run.figures()]


def test_the_visitors_score_is_the_games(root):
    """A paddle that never moves catches the rocks that fall on it."""
    from launch.gallery import rocks as tab

    game = rocks.Params(size=8, rocks_per_episode=2)
    for seed in range(5):
        moves = np.full(game.episode_steps, rocks.STAY)
        score = int(tab._scorer(game)(moves, jax.random.key(seed))[-1])
        screens, scores = measure.record(
            lambda screens: np.array([rocks.STAY]), game, jax.random.key(seed)
        )
        caught = tab._caught(np.asarray(screens), game)
        assert score == scores[-1] == 2 * caught - 2
        paddle = np.flatnonzero(screens[0, -1])[0]
        columns = [np.flatnonzero(screens[t, 0])[0] for t in (0, 7)]
        assert caught == columns.count(paddle)


def test_no_folder_is_a_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "launch.gallery", f"--root={tmp_path / 'none'}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == f"gallery: there is no folder {pathlib.Path(tmp_path)}/none\n"


@pytest.mark.slow
def test_many_paintings_leave_no_memory_maps(monkeypatch):
    for name in "_FRAMES", "_SCALES", "_STEPS":
        monkeypatch.setattr(style, name, 1)
    maps = []
    for size in range(64, 64 + 5 * 16, 16):  # each compiles programs of its own
        *_, (picture, _) = style._optimise(
            "random", None, "chelsea", None, "brick", size
        )
        assert max(picture.shape) == size
        maps.append(len(pathlib.Path("/proc/self/maps").read_text().splitlines()))
    assert maps[-1] < maps[0] + 300, maps  # a painting takes 600 or more


def _memory(process):
    """The resident memory of a process, MiB, and its number of memory maps."""
    folder = pathlib.Path("/proc", str(process))
    (line,) = (
        line for line in (folder / "status").read_text().splitlines() if "VmRSS" in line
    )
    maps = len((folder / "maps").read_text().splitlines())
    return int(line.split()[1]) / 1024, maps


@pytest.mark.slow
def test_ten_visitors_who_paint_for_long_are_all_served(server, temporary):
    """Each paints twice, an upload of its own. Nobody is refused, and memory is flat.

    The first paintings of 72 pixels after those of 64 took 250 MB more, once.
    """
    url, process = server
    with urllib.request.urlopen(f"{url}/config") as page:
        config = json.load(page)
    (event,) = (
        event for event in config["dependencies"] if event["api_name"] == "optimise"
    )
    parts = {part["id"]: part["props"] for part in config["components"]}
    measured = []

    def visit(number):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        path = temporary / f"visitor{number}.png"
        Image.fromarray(pixels).save(path)
        for size in (64, 64):
            uploaded = _upload_by_http(url, path)
            data = [parts[each].get("value") for each in event["inputs"]]
            data[0] = {"path": uploaded, "meta": {"_type": "gradio.FileData"}}
            data[4] = size
            said = _fire(url, event, data)
            assert said["success"], said["output"]
            measured.append(_memory(process))

    with futures.ThreadPoolExecutor(10) as pool:
        list(pool.map(visit, range(10)))
    memory, maps = np.transpose(measured)
    assert len(measured) == 20
    assert np.mean(memory[-5:]) < np.mean(memory[5:10]) + 200, memory
    assert np.mean(maps[-5:]) < np.mean(maps[5:10]) + 1000, maps


def _upload_by_http(url, path):
    """Uploads a file as the page does; returns its path on the server."""
    named = f'form-data; name="files"; filename="{path.name}"'
    head = f"--b\r\nContent-Disposition: {named}\r\nContent-Type: image/png\r\n\r\n"
    request = urllib.request.Request(
        f"{url}/gradio_api/upload",
        data=head.encode() + path.read_bytes() + b"\r\n--b--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)[0]
