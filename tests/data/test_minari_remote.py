"""Minari's own download against a hub on the loopback interface, and without any."""

import json
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import minari
import numpy as np
import pytest

from lpt.data import Provenance, load, write_d4rl, write_minari
from lpt.data.sources.minari_server import fetch_minari, is_local
from lpt.data.tasks import TASKS

hub_constants = pytest.importorskip("huggingface_hub.constants")
ID = "mujoco/hopper/medium-v0"
COMMIT = "0" * 40


class Hub(ThreadingHTTPServer):
    """Serves one repository, `farama-minari/mujoco`, as Hugging Face does."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.cut: str | None = None  # a file that breaks off half-way
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(path)
        siblings = [{"rfilename": name} for name in self.server.files]
        repository = {"id": "farama-minari/mujoco", "sha": COMMIT, "siblings": siblings}
        if path == "/api/datasets":
            self.answer(json.dumps([repository]).encode())
        elif "/resolve/" in path:
            name = path.split(f"/resolve/{'main' if '/main/' in path else COMMIT}/")[1]
            self.answer(self.server.files.get(name), name)
        elif "/tree/" in path:
            entries = [
                {"type": "file", "path": name, "size": len(data), "oid": str(len(data))}
                for name, data in self.server.files.items()
            ]
            self.answer(json.dumps(entries).encode())
        elif path.startswith("/api/datasets/farama-minari/mujoco"):
            self.answer(json.dumps(repository).encode())
        else:
            self.answer(b"")

    do_HEAD = do_GET

    def answer(self, body: bytes | None, name: str = "") -> None:
        self.send_response(404 if body is None else 200)
        if body is None:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(body or b"")))
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{len(body or b"")}-{len(name)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body and self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if name == self.server.cut else body)

    def log_message(self, *args: Any) -> None:
        pass


def ask(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turns Hugging Face's client to another server, as `HF_ENDPOINT` does when it is imported."""
    template = hub_constants.HUGGINGFACE_CO_URL_TEMPLATE.partition("/{")
    monkeypatch.setattr(hub_constants, "ENDPOINT", url)
    monkeypatch.setattr(hub_constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "".join(template[1:]))


@pytest.fixture(autouse=True)
def _no_hub(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that nobody listens on, and no cache of the user's."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ask(f"http://127.0.0.1:{port}", monkeypatch)
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(folders / "hub"))
    for name in ("LPT_OFFLINE", "MINARI_REMOTE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LPT_D4RL_URL", f"http://127.0.0.1:{port}")


@pytest.fixture
def hub(make_dataset, folders, monkeypatch) -> Iterator[Hub]:
    """A hub that has hopper-medium."""
    elsewhere = folders / "elsewhere"
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(elsewhere))
    write_minari(ID, make_dataset([4, 5], provenance=Provenance("npz", "x", "Hopper-v5")))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(folders / "minari"))
    root = elsewhere / "mujoco"
    files = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }
    listed = {"datasets": [ID], "namespaces": ["mujoco/hopper"]}
    files["namespace_metadata.json"] = json.dumps(listed).encode()
    server = Hub(files)
    ask(server.url, monkeypatch)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_tasks_own_set_is_downloaded_once(hub, folders, capsys):
    lines: list[str] = []
    first = load("hopper-medium", source="minari", log=lines.append)
    assert lines[0] == (
        f"data: hopper-medium from the Minari data set {ID} (downloaded now from "
        "hf://farama-minari)"
    )
    record = first.provenance
    assert (record.source, record.id, record.env_id) == ("minari", "hopper-medium", "Hopper-v5")
    assert first.lengths.tolist() == [4, 5] and is_local(ID)
    assert list(minari.list_local_datasets()) == [ID]
    assert [path.name for path in (folders / "minari").iterdir()] == ["mujoco"]
    asked = len(hub.asked)
    lines.clear()
    for name, source in [("hopper-medium", "minari"), (ID, "auto"), ("hopper-medium", "auto")]:
        assert load(name, source=source, log=lines.append).num_steps == 9
    assert len(hub.asked) == asked
    assert sum(f"from the local Minari data set {ID}" in line for line in lines) == 3
    assert capsys.readouterr().out == ""  # what Minari prints goes to stderr


def test_a_transfer_that_breaks_off_leaves_nothing(hub, folders, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between its client's attempts
    hub.cut = "hopper/medium-v0/data/main_data.hdf5"
    with pytest.raises(FileNotFoundError, match=f"minari download {ID}"):
        load(ID, log=None)
    assert not list(folders.glob("minari/*"))


def test_ids_that_the_hub_does_not_have(hub):
    with pytest.raises(FileNotFoundError, match=r"mujoco/hopper/best-v0' is not in .*ValueError"):
        load("mujoco/hopper/best-v0", log=None)
    with pytest.raises(ValueError, match="no Minari id: expected namespace/name-v0"):
        fetch_minari("hopper")


@pytest.mark.parametrize("name", ["hopper-medium", "kitchen-mixed", "minari:own/mine-v3"])
def test_without_a_network_one_clear_error(name, folders):
    source = "auto" if name.startswith("minari:") else "minari"
    wanted = name.removeprefix("minari:") if source == "auto" else TASKS[name].minari_id
    with pytest.raises(FileNotFoundError) as caught:
        load(name, source=source, log=None)
    text = str(caught.value)
    assert f"Minari data set '{wanted}' is not in {folders / 'minari'}" in text
    assert "http://127.0.0.1" in text and "cannot be reached" in text and "refused" in text
    assert f"Run 'minari download {wanted}'" in text and "MINARI_DATASETS_PATH" in text
    assert not list(folders.glob("minari/*"))


def test_a_server_that_says_nothing_is_not_waited_for(folders, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        ask(url, monkeypatch)
        with pytest.raises(FileNotFoundError, match=f"{url} cannot be reached .timed out"):
            fetch_minari(ID, timeout=0.1)


@pytest.mark.parametrize(
    ("remote", "package", "words"),
    [
        ("hf://farama-minari", "huggingface_hub.constants", "pip install 'lpt-toolkit[minari]'"),
        ("gcp://minari-datasets", "google.cloud.storage", "minari[gcs]"),
    ],
)
def test_a_missing_package_is_named(remote, package, words, folders, monkeypatch):
    monkeypatch.setenv("MINARI_REMOTE", remote)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(FileNotFoundError) as caught:
        fetch_minari(ID)
    assert words in str(caught.value) and remote in str(caught.value)


def test_offline_forbids_it(hub, monkeypatch):
    monkeypatch.setenv("LPT_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match=r"hf://farama-minari \(LPT_OFFLINE is set\)\. Run"):
        load("hopper-medium", source="minari", log=None)
    assert not hub.asked


def test_auto_asks_the_net_for_no_minari_set(hub, folders, make_dataset, monkeypatch):
    task = TASKS["hopper-medium"]
    task = replace(task, recipe=replace(task.recipe, steps=1000))
    monkeypatch.setitem(TASKS, "hopper-medium", task)
    assert load("hopper-medium", log=None).provenance.source == "regenerated"
    write_d4rl(folders / "d4rl" / TASKS["hopper-medium"].files[0], make_dataset([7]))
    assert load("hopper-medium", log=None).provenance.source == "d4rl"
    assert not hub.asked


def test_tasks_without_a_minari_set_say_so():
    with pytest.raises(
        ValueError, match=r"hopper-medium-replay: Minari has no data set .*minari:<"
    ):
        load("hopper-medium-replay", source="minari")


def test_minaris_own_tools_read_what_was_fetched(hub):
    fetch_minari(ID)
    theirs = minari.load_dataset(ID)
    assert theirs.total_steps == 9 and theirs.env_spec is not None
    assert theirs.env_spec.id == "Hopper-v5"
    np.testing.assert_array_equal(theirs[0].rewards, load(ID, log=None).rewards[:4])
