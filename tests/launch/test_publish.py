"""Publishing: the folder, its card, and the way to a hub on this machine and back."""

import base64
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading

from huggingface_hub import ModelCard
import pytest
import safetensors.numpy

from dlx import tasks
from dlx.runtime import loop

OWN = "owner/rocks"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    from configs import pg_rocks8

    config = pg_rocks8.get_config()
    config.num_envs, config.features, config.eval_rocks = 32, (16,), 100
    config.env.rocks_per_episode = 3
    config.num_steps = config.log_steps = 4
    config.eval_steps = config.checkpoint_steps = 4
    workdir = tmp_path_factory.mktemp("runs") / "run"
    loop.train(tasks.make(config), config, workdir, name="pg_rocks8")
    return workdir


def _program(name, *flags, code=0, **environment):
    done = subprocess.run(
        [sys.executable, "-m", f"launch.{name}", *flags],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        timeout=300,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def _numbers(text):
    """The measures that launch.evaluate prints."""
    return dict(re.findall(r"^(\w+) +(\S+)$", text, re.MULTILINE))


def test_the_folder_is_whole_and_no_path_is_in_it(run, tmp_path):
    out = tmp_path / "out"
    flags = [f"--workdir={run}", f"--repo={OWN}", f"--dry_run={out}"]
    _program("publish", *flags, "--license=mit")
    assert {p.name for p in out.iterdir()} == {
        *("README.md", "config.json", "summary.json", "model.safetensors", "figures")
    }
    card = ModelCard.load(out / "README.md")
    assert card.data.library_name == "dlx" and card.data.license == "mit"
    assert card.data.pipeline_tag == "reinforcement-learning"
    (result,) = card.data.eval_results
    assert result.metric_type == "perfect_starts"
    assert "| perfect_starts |" in card.text and f"hf:{OWN}" in card.text
    for name in re.findall(r"!\[.*\]\((.*)\)", card.text):
        assert (out / name).is_file()
    assert "figures/learning_curve.png" in card.text
    weights = safetensors.numpy.load_file(out / "model.safetensors")
    assert {name.split(".")[0] for name in weights} == {"step", "params"}
    for path in out.iterdir():
        if path.suffix in (".md", ".json"):
            assert str(run.parent) not in path.read_text()
    message = _program("publish", *flags, code=2)
    assert "File exists" in message and message.count("\n") == 1


class _Hub(http.server.BaseHTTPRequestHandler):
    """Answers uploads and downloads as the Hugging Face hub does, for small files."""

    files: dict[str, bytes]

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers["Authorization"] != "Bearer secret":
            return self._answer({"error": "no token"}, 401)
        if self.path == "/api/repos/create":
            assert json.loads(body)["name"] == "rocks"
            return self._answer({"url": f"http://{self.headers['Host']}/{OWN}"})
        if self.path == "/api/validate-yaml":
            return self._answer({"errors": [], "warnings": []})
        if self.path == f"/api/models/{OWN}/preupload/main":
            paths = [file["path"] for file in json.loads(body)["files"]]
            plain = {"uploadMode": "regular", "shouldIgnore": False}
            return self._answer({"files": [{"path": p} | plain for p in paths]})
        assert self.path == f"/api/models/{OWN}/commit/main"
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
                self.files[line["value"]["path"]] = content
        address = f"http://{self.headers['Host']}/{OWN}/commit/{'1' * 40}"
        commit = {"commitUrl": address}
        return self._answer(commit | {"commitOid": "1" * 40, "success": True})

    def do_GET(self):
        if self.path.startswith(f"/api/models/{OWN}/tree/"):
            entry = {"type": "file", "oid": "0" * 40}
            return self._answer(
                [entry | {"path": p, "size": len(x)} for p, x in self.files.items()]
            )
        if self.path.startswith(f"/api/models/{OWN}/"):
            names = [{"rfilename": name} for name in self.files]
            return self._answer({"id": OWN, "sha": "1" * 40, "siblings": names})
        content = self.files.get(self.path.split("/", 5)[-1])
        if content is None:
            return self._answer({"error": "not found"}, 404)
        return self._send(content)

    def do_HEAD(self):
        self.do_GET()

    def _answer(self, value, code=200):
        self._send(json.dumps(value).encode(), code, "application/json")

    def _send(self, content, code=200, kind="application/octet-stream"):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "1" * 40)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


def test_a_run_goes_to_the_hub_and_comes_back(run, tmp_path):
    hub = type("Hub", (_Hub,), {"files": {}})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        there = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hub")}
        there |= {"HF_HUB_DISABLE_XET": "1"}
        flags = [f"--workdir={run}", f"--repo={OWN}"]
        message = _program("publish", *flags, code=2, HF_TOKEN="wrong", **there)
        assert message.startswith(f"publish: cannot upload to {OWN}: ")
        assert message.count("\n") == 1 and not hub.files
        said = _program("publish", *flags, HF_TOKEN="secret", **there)
        assert said.splitlines()[-1] == f"{address}/{OWN}"
        assert "figures/learning_curve.png" in hub.files and "README.md" in hub.files
        again = _program("evaluate", f"--workdir=hf:{OWN}", **there)
        server.shutdown()
    own = _numbers(_program("evaluate", f"--workdir={run}"))
    assert _numbers(again) == own and "perfect_starts" in own


def test_a_bad_name_is_a_line(run):
    message = _program("publish", f"--workdir={run}", "--repo=rocks", code=2)
    assert message == "publish: --repo=rocks is not USER/NAME\n"
