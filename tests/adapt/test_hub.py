"""The hub's loading code, against a small hub on this machine: what is fetched, and what is left where it is."""

from __future__ import annotations

import functools
import http.server
import json
import os
import subprocess
import sys
import threading

import pytest

from tests.conftest import ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(http.server.BaseHTTPRequestHandler):
    """The three answers of a model hub: what a repository holds, a file's head, a file."""

    def __init__(self, folder, asked, *arguments):
        self.folder, self.asked = folder, asked
        super().__init__(*arguments)

    def log_message(self, *arguments):
        pass

    def do_HEAD(self):
        self._file(body=False)

    def do_GET(self):
        if self.path.startswith("/api/models/some/tiny"):
            files = sorted(self.folder.iterdir())
            tree = [{"type": "file", "path": p.name, "size": p.stat().st_size, "oid": p.name} for p in files]
            model = {"id": "some/tiny", "sha": COMMIT, "siblings": [{"rfilename": p.name} for p in files]}
            body = json.dumps(tree if "/tree/" in self.path else {**model, "private": False}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        else:
            self._file(body=True)

    def _file(self, body: bool):
        path = self.folder / self.path.split("?")[0].rsplit("/", 1)[-1]
        if not self.path.startswith("/some/tiny/resolve/") or not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.asked.add(path.name)
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", f'"{path.name}-{len(data)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(data)


@pytest.fixture
def hub(tiny_source, tmp_path):
    import shutil

    folder = tmp_path / "repository"
    shutil.copytree(tiny_source, folder)
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    (folder / "modeling.py").write_text("raise SystemExit('remote code ran')\n")
    asked: set[str] = set()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Hub, folder, asked))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def test_a_hub_id_becomes_a_folder_without_pickles_and_code(hub, tmp_path):
    address, asked = hub
    code = (
        "from adapt.config import Source; from adapt.stages.source import find, weight_files; "
        "folder = find(Source(model='some/tiny')); print(len(weight_files(folder))); "
        "from vocab.transplant.load import load_model; print(type(load_model(folder)).__name__)"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": address,
        "HF_HUB_OFFLINE": "0",
        "HF_HOME": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_XET": "1",
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "BertForMaskedLM" and int(done.stdout.split()[0]) >= 3
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= asked
    assert not asked & {"pytorch_model.bin", "modeling.py"}
