"""Policies that lie elsewhere: shipped with the package, or on the Hugging Face Hub.

The Hub is a small server on this machine that speaks as much of its protocol as the real client
asks for: it keeps one commit of one model.
"""

import base64
import dataclasses
import hashlib
import io
import json
import os
import runpy
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from helpers.policies import model_tree

from lpt.checkpoint import places
from lpt.checkpoint.files import save_checkpoint
from lpt.checkpoint.metadata import PolicyMetadata
from lpt.cli.eval import main as evaluate
from lpt.cli.info import main as info
from lpt.cli.play import main as play
from lpt.evaluation import LPTPolicy
from lpt.export.card import model_card
from lpt.export.hub import shareable
from lpt.reporting.results import save_result

ROOT = Path(__file__).parents[1]
COMMIT = "c0ffee" * 6 + "c0ff"
PACK = runpy.run_path(str(ROOT / "scripts" / "pack_pretrained.py"))


@pytest.fixture
def run(tmp_path, make_metadata, make_policy_model):
    """A run folder with 24 remembered plans and an absolute path in its settings."""
    model = make_policy_model(remembered_plans=24)
    model.remembered.add(torch.randn(24, *model.plan_shape))
    config = {
        **model_tree(model),
        "planning": {"method": "aggregated", "draws": 2},
        "evaluation": {"target": 40.0, "episodes": 2, "sweep": [0.0, 40.0]},
        "out": str(tmp_path / "runs" / "seed3"),
    }
    metadata = make_metadata(config=config)
    folder = tmp_path / "runs" / "seed3"
    save_checkpoint(folder, 10, model.state_dict(), metadata, {}, {"wall_seconds": 1.0})
    return folder


def test_a_packed_policy_acts_as_the_run_does_and_is_small(run, tmp_path, monkeypatch, capsys):
    folder = PACK["pack"](run, tmp_path / "shipped" / "tiny", plans=8, overwrite=False)
    monkeypatch.setattr(places, "_FOLDER", tmp_path / "shipped")
    assert sorted(path.name for path in folder.iterdir()) == ["policy.json", "policy.safetensors"]
    assert str(tmp_path) not in (folder / "policy.json").read_text()
    packed, own = LPTPolicy.load("pretrained:tiny"), LPTPolicy.load(run)
    assert packed.model.remembered.draws().shape[0] == 8
    observation, z = np.ones(4, np.float32), own.plan().z
    action = own.predict(observation, own.begin(z))[0]
    np.testing.assert_allclose(packed.predict(observation, packed.begin(z))[0], action, atol=5e-3)
    with pytest.raises(FileExistsError):
        PACK["pack"](run, folder, overwrite=False)
    assert info(["pretrained:tiny"]) == 0 and "maze2d-umaze" in capsys.readouterr().out


def test_an_unknown_name_gets_those_that_there_are(capsys):
    assert evaluate(["pretrained:maze3d"]) == 2
    assert "pretrained:maze2d-umaze" in capsys.readouterr().err


@pytest.mark.parametrize("name", places.shipped())
def test_what_is_shipped_acts_without_any_data(name, tmp_path, monkeypatch, capsys):
    for variable in ("LPT_DATA_DIR", "D4RL_DATASET_DIR", "MINARI_DATASETS_PATH"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert evaluate([f"pretrained:{name}", "--episodes", "1"]) == 0
    assert name in capsys.readouterr().out
    for path in (places._FOLDER / name).iterdir():
        assert path.stat().st_size < 2e6
    if name == "connect-four":
        monkeypatch.setattr("sys.stdin", io.StringIO())
        assert play(["connect-four", f"pretrained:{name}"]) == 0


class Hub(BaseHTTPRequestHandler):
    """One model of the Hub."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_POST(self):
        """Make the model, or take a commit of files."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            self.answer({"url": f"http://{self.headers['Host']}/me/umaze", "id": "me/umaze"})
        elif "/preupload/" in self.path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for file in json.loads(body)["files"]
            ]
            self.answer({"files": files})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.files[line["value"]["path"]] = content
            url = f"http://{self.headers['Host']}/me/umaze"
            self.answer(
                {"success": True, "commitOid": COMMIT, "commitUrl": f"{url}/commit/{COMMIT}"}
            )
        elif self.path == "/api/validate-yaml":
            self.answer({"errors": [], "warnings": []})
        else:
            self.answer({"error": f"no {self.path}"}, 404)

    def do_GET(self):
        """Give the model's list of files, or one of them."""
        path = self.path.partition("?")[0]
        name = path.rpartition("/")[2]
        if not path.startswith(("/api/models/me/umaze", "/me/umaze")) or not self.files:
            self.answer({"error": "Repository not found"}, 404, **{"X-Error-Code": "RepoNotFound"})
        elif "/resolve/" in path:
            content = self.files[name]
            tag = hashlib.sha1(content).hexdigest()
            self.answer(content, 200, **{"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT})
        elif "/tree/" in path:
            self.answer(
                [
                    {"type": "file", "path": name, "size": len(content), "oid": "0" * 40}
                    for name, content in self.files.items()
                ]
            )
        else:
            siblings = [{"rfilename": name} for name in self.files]
            self.answer({"id": "me/umaze", "sha": COMMIT, "siblings": siblings, "private": False})

    do_HEAD = do_GET

    def answer(self, content, status=200, **headers):
        """Send JSON or bytes."""
        content = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": len(content)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch):
    """The address of a Hub without any model."""
    monkeypatch.setattr(Hub, "files", {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


THERE_AND_BACK = """
import sys
import numpy as np
from lpt import LPTPolicy
from lpt.cli.export import main
from lpt.cli.info import main as info

run = sys.argv[1]
assert info(["hf:me/umaze"]) == 2
assert main([run, "--hub", "me/umaze"]) == 0
policies = [LPTPolicy.load(place) for place in (run, "hf:me/umaze", "hf:me/umaze@main")]
policies = [p for p in policies if not p.reset()]
actions = [p.act(np.ones(4)) for p in policies]
assert all((action == actions[0]).all() for action in actions)
"""


def test_a_policy_goes_to_the_hub_and_comes_back(run, hub, tmp_path):
    cache = tmp_path / "cache"
    environment = {k: v for k, v in os.environ.items() if k != "LPT_OFFLINE"}
    environment |= {"HF_ENDPOINT": hub, "HF_HOME": str(cache), "HF_TOKEN": "hf_made_up"}
    environment |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", THERE_AND_BACK, str(run)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert 'LPTPolicy.load("hf:me/umaze")' in done.stdout
    assert "hf:me/umaze cannot be had from the Hugging Face Hub" in done.stderr
    assert set(Hub.files) == {"README.md", "policy.json", "policy.safetensors"}
    assert str(tmp_path).encode() not in Hub.files["policy.json"]
    assert b"library_name: lpt-toolkit" in Hub.files["README.md"]


def test_the_card_reports_the_runs_own_results(run, make_metadata, make_evaluation):
    metadata: PolicyMetadata = shareable(dataclasses.replace(make_metadata(), updates=10))
    assert "No results" in model_card(metadata, "me/umaze", run)
    save_result(run / "results", metadata, "lpt-ei", make_evaluation([100.0, 200.0]))
    card = model_card(metadata, "me/umaze", run)
    assert "| LPT-EI | 165 | 2 | 150.00" in card and "fingerprint abab" in card
