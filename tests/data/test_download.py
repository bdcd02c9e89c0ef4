"""Downloads from a real server on the loopback interface that does all that servers do."""

import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lpt.data import load, write_d4rl
from lpt.data.d4rl_names import d4rl_path
from lpt.data.sources import d4rl as d4rl_source
from lpt.data.sources.d4rl_server import d4rl_url
from lpt.data.sources.download import DownloadError, download, download_record
from lpt.data.tasks import TASKS

QUICK = {"timeout": 0.3, "pause": 0.0, "progress": False}


def hdf5(seed: int) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["observations"] = np.random.default_rng(seed).normal(size=(2000, 5))
    return buffer.getvalue()


DATA, OTHER = hdf5(0), hdf5(1)
HALF = len(DATA) // 2


class Server(ThreadingHTTPServer):
    """Answers the n-th request by the n-th of `answers`, further ones by the last of them."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Callable[[Handler], None]] = [serve()]
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.requests]

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that hangs up is part of these tests


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        answer = self.server.answers[min(len(self.server.requests), len(self.server.answers) - 1)]
        self.server.requests.append((self.path, dict(self.headers)))
        answer(self)

    def log_message(self, *args: Any) -> None:
        pass

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for key, value in headers.items():
            if value is not None:
                self.send_header(key.replace("_", "-"), str(value))
        self.end_headers()


def serve(
    data: bytes = DATA,
    *,
    stop: int | None = None,
    stall: int | None = None,
    length: int | None = len(DATA),
    ranges: bool = True,
    etag: str | None = '"one"',
) -> Callable[[Handler], None]:
    """A file server that hangs up after `stop` bytes, or says nothing after `stall` bytes."""

    def answer(handler: Handler) -> None:
        headers, start = handler.headers, 0
        if ranges and "Range" in headers and headers["If-Range"] == etag:
            start = int(headers["Range"].removeprefix("bytes=").removesuffix("-"))
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            rest = len(data) - start
            handler.head(206, Content_Length=rest, Content_Range=span, ETag=etag)
        else:
            handler.head(200, Content_Length=length, ETag=etag)
        end = stop if stop is not None else stall if stall is not None else len(data)
        handler.wfile.write(data[start:end])
        if stall is not None:
            handler.wfile.flush()
            handler.server.closing.wait(10)

    return answer


def reply(status: int, body: bytes = b"", **headers: str) -> Callable[[Handler], None]:
    def answer(handler: Handler) -> None:
        handler.head(status, Content_Length=len(body), **headers)
        handler.wfile.write(body)

    return answer


@pytest.fixture(autouse=True)
def _allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LPT_OFFLINE", raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.closing.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "new" / "file.hdf5"


def files(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()}


def test_a_file_arrives_whole_and_is_recorded(server, target):
    result = download(f"{server.url}/a/file.hdf5", target, **QUICK)
    assert target.read_bytes() == DATA
    assert (result.size, result.sha256) == (len(DATA), hashlib.sha256(DATA).hexdigest())
    assert server.requests[0][0] == "/a/file.hdf5" and server.ranges == [None]
    assert files(target) == {"file.hdf5", "file.hdf5.download.json"}
    assert download_record(target) == result.to_dict()
    assert set(result.to_dict()) == {"url", "size", "sha256"}


def test_a_file_of_other_origin_has_no_record(server, target, tmp_path):
    (tmp_path / "own.hdf5").write_bytes(DATA)
    assert download_record(tmp_path / "own.hdf5") is None
    assert download_record(tmp_path / "absent.hdf5") is None
    download(server.url, target, **QUICK)
    target.write_bytes(DATA + b"more")
    assert download_record(target) is None


def test_an_existing_file_is_not_touched(server, target):
    target.parent.mkdir()
    target.write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        download(server.url, target, **QUICK)
    assert target.read_bytes() == b"mine" and not server.requests


def test_a_transfer_that_breaks_off_is_resumed_at_once(server, target):
    server.answers = [serve(stop=HALF), serve()]
    download(server.url, target, **QUICK)
    assert target.read_bytes() == DATA
    assert server.ranges == [None, f"bytes={HALF}-"]
    assert files(target) == {"file.hdf5", "file.hdf5.download.json"}


def test_a_transfer_that_stalls_is_resumed_by_the_next_call(server, target):
    server.answers = [serve(stall=HALF), serve(stall=HALF), serve()]
    with pytest.raises(DownloadError, match=f"nothing arrived for 0.3 seconds. {HALF} bytes"):
        download(server.url, target, **QUICK)
    assert files(target) == {".file.hdf5.part", ".file.hdf5.part.json"}
    download(server.url, target, **QUICK)
    assert target.read_bytes() == DATA
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF}-"]


def test_a_server_that_ignores_ranges_sends_all_again(server, target):
    server.answers = [serve(stop=HALF), serve(ranges=False)]
    download(server.url, target, **QUICK)
    assert target.read_bytes() == DATA and server.ranges == [None, f"bytes={HALF}-"]


def test_a_server_that_always_breaks_off_at_one_place_is_given_up(server, target):
    server.answers = [serve(stop=HALF, ranges=False)]
    with pytest.raises(DownloadError, match="broke off after"):
        download(server.url, target, **QUICK)
    assert len(server.requests) == 2 and not target.exists()


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_without_a_strong_validator_the_next_try_begins_anew(server, target, etag):
    server.answers = [serve(stop=HALF, etag=etag), serve(etag=etag)]
    download(server.url, target, **QUICK)
    assert target.read_bytes() == DATA and server.ranges == [None, None]


def test_a_file_that_has_changed_on_the_server_is_not_mixed(server, target):
    server.answers = [serve(stop=HALF), reply(503), serve(OTHER, etag='"two"')]
    with pytest.raises(DownloadError, match="503"):
        download(server.url, target, **QUICK)
    download(server.url, target, **QUICK)
    assert target.read_bytes() == OTHER and server.ranges[2] == f"bytes={HALF}-"


def test_another_address_does_not_continue_the_part(server, target):
    server.answers = [serve(stop=HALF), reply(503), serve(OTHER)]
    with pytest.raises(DownloadError):
        download(f"{server.url}/a", target, **QUICK)
    download(f"{server.url}/b", target, **QUICK)
    assert target.read_bytes() == OTHER and server.ranges[2] is None


def test_damaged_state_means_beginning_anew(server, target):
    target.parent.mkdir()
    (target.parent / ".file.hdf5.part").write_bytes(b"\x00" * 100)
    (target.parent / ".file.hdf5.part.json").write_text('{"url": ')
    download(server.url, target, **QUICK)
    assert target.read_bytes() == DATA and server.ranges == [None]


def test_a_complete_part_is_not_asked_for_again(server, target):
    target.parent.mkdir()
    (target.parent / ".file.hdf5.part").write_bytes(DATA)
    state = {"url": server.url, "validator": '"one"', "size": len(DATA)}
    (target.parent / ".file.hdf5.part.json").write_text(json.dumps(state))
    download(server.url, target, **QUICK)
    assert target.read_bytes() == DATA and not server.requests


def test_a_part_longer_than_the_file_is_dropped(server, target):
    target.parent.mkdir()
    (target.parent / ".file.hdf5.part").write_bytes(DATA + b"more")
    state = {"url": server.url, "validator": '"one"', "size": None}
    (target.parent / ".file.hdf5.part.json").write_text(json.dumps(state))
    server.answers = [reply(416), serve()]
    download(server.url, target, **QUICK)
    assert target.read_bytes() == DATA and server.ranges[1] is None


def test_a_stated_length_that_is_too_long_is_noticed(server, target):
    server.answers = [serve(length=len(DATA) + 5, ranges=False)]
    with pytest.raises(DownloadError, match=f"{len(DATA)} of {len(DATA) + 5} bytes"):
        download(server.url, target, **QUICK)
    assert not target.exists()


@pytest.mark.parametrize("length", [HALF, None])
def test_a_short_file_is_noticed_whatever_the_server_states(server, target, length):
    server.answers = [serve(stop=HALF, length=length)]
    with pytest.raises(DownloadError, match=r"damaged.*truncated"):
        download(server.url, target, **QUICK)
    assert not target.exists() and ".file.hdf5.part" not in files(target)


def test_a_file_without_stated_length_arrives(server, target):
    server.answers = [serve(length=None)]
    assert download(server.url, target, **QUICK).size == len(DATA)
    assert target.read_bytes() == DATA


def test_a_page_is_refused(server, target):
    server.answers = [reply(200, b"<html>Please log in</html>", Content_Type="text/html")]
    with pytest.raises(DownloadError, match=r"text/html: '<html>Please log in"):
        download(server.url, target, **QUICK)
    assert not target.exists() and ".file.hdf5.part" not in files(target)


def test_an_empty_answer_is_refused(server, target):
    server.answers = [reply(200)]
    with pytest.raises(DownloadError, match="damaged"):
        download(server.url, target, **QUICK)
    assert not target.exists()


@pytest.mark.parametrize(
    ("status", "word"), [(403, "denied"), (404, "no such file"), (500, "trouble"), (418, "refused")]
)
def test_a_status_becomes_a_message_that_says_what_to_do(server, target, status, word):
    server.answers = [reply(status, b"<html>no</html>")]
    with pytest.raises(DownloadError, match=word) as caught:
        download(server.url, target, **QUICK)
    for part in (server.url, str(target), "LPT_D4RL_URL", "--source regenerated", str(status)):
        assert part in str(caught.value)
    assert len(server.requests) == 1


def test_a_server_that_says_nothing_is_given_up_after_the_timeout(server, target):
    server.answers = [lambda handler: handler.server.closing.wait(10) and None]
    with pytest.raises(DownloadError, match=r"0\.3 seconds"):
        download(server.url, target, **QUICK)
    assert len(server.requests) == 1


def test_nobody_at_the_address(target):
    with Server() as closed:
        url = closed.url
    with pytest.raises(DownloadError, match=r"cannot be reached.*refused"):
        download(url, target, **QUICK)


def test_redirects_are_followed_but_only_to_the_web(server, target):
    server.answers = [reply(302, Location="/moved"), serve()]
    download(server.url, target, **QUICK)
    assert target.read_bytes() == DATA and server.requests[1][0] == "/moved"
    target.unlink()
    for place in ("file:///etc/hostname", "ftp://127.0.0.1/x"):
        server.answers, server.requests = [reply(302, Location=place)], []
        with pytest.raises(DownloadError):
            download(server.url, target, **QUICK)
    assert not target.exists()


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/x", "name.hdf5"])
def test_other_schemes_are_refused(url, target):
    with pytest.raises(ValueError, match="https://"):
        download(url, target, **QUICK)


def test_proxies_of_the_environment_are_used(server, target, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url)
    download("http://d4rl.invalid/file.hdf5", target, **QUICK)
    assert target.read_bytes() == DATA
    assert server.requests[0][0] == "http://d4rl.invalid/file.hdf5"


def test_two_calls_at_once_do_not_mix(server, target):
    pytest.importorskip("fcntl")
    inner: list[BaseException] = []

    def answer(handler: Handler) -> None:
        try:
            download(server.url, target, **QUICK)
        except DownloadError as error:
            inner.append(error)
        serve()(handler)

    server.answers = [answer]
    download(server.url, target, **{**QUICK, "timeout": 5.0})
    assert "another process" in str(inner[0]) and target.read_bytes() == DATA


def test_the_bar_goes_to_stderr(server, target, capsys):
    download(server.url, target, **{**QUICK, "progress": True})
    captured = capsys.readouterr()
    assert "file.hdf5" in captured.err and captured.out == ""


def test_addresses_follow_d4rl(monkeypatch):
    monkeypatch.delenv("LPT_D4RL_URL", raising=False)
    home = "https://rail.eecs.berkeley.edu/datasets/offline_rl"
    assert d4rl_url("hopper-medium-replay") == f"{home}/gym_mujoco_v2/hopper_medium_replay-v2.hdf5"
    assert d4rl_path("maze2d-eval-large") == "maze2d/maze2d-eval-large-sparse-v1.hdf5"
    assert d4rl_path("maze2d-umaze-dense") == "maze2d/maze2d-umaze-dense-v1.hdf5"
    umaze = "Ant_maze_u-maze_noisy_multistart_True_multigoal_True_sparse_fixed.hdf5"
    assert d4rl_path("antmaze-umaze-diverse") == f"ant_maze_v2/{umaze}"
    partial = "kitchen/kitchen_microwave_kettle_light_slider-v0.hdf5"
    assert d4rl_path("kitchen-partial") == partial
    assert d4rl_url("connect-four") is None
    monkeypatch.setenv("LPT_D4RL_URL", "http://mirror/d4rl/")
    assert d4rl_url("kitchen-partial") == f"http://mirror/d4rl/{partial}"
    monkeypatch.setenv("LPT_D4RL_URL", "http://mirror/{file}?download=true")
    assert d4rl_url("ant-random") == "http://mirror/ant_random-v2.hdf5?download=true"


@pytest.mark.parametrize("name", [name for name, task in TASKS.items() if task.files])
def test_files_are_kept_under_the_name_that_d4rl_gives_them(name):
    path = d4rl_path(name)
    assert path is not None and path.rpartition("/")[2] == TASKS[name].files[0]


def test_offline_nothing_is_asked_for(server, target, monkeypatch):
    monkeypatch.setenv("LPT_OFFLINE", "1")
    with pytest.raises(DownloadError, match="LPT_OFFLINE is set"):
        download(server.url, target, **QUICK)
    monkeypatch.setenv("LPT_OFFLINE", "0")
    download(server.url, target, **QUICK)
    assert len(server.requests) == 1


@pytest.fixture
def d4rl(server, folders, monkeypatch) -> Server:
    """The server as the address of D4RL, and a hopper-medium that is small in its full size."""
    monkeypatch.setenv("LPT_D4RL_URL", server.url)
    monkeypatch.delenv("LPT_BEHAVIOR_DIR", raising=False)
    task = TASKS["hopper-medium"]
    task = replace(task, recipe=replace(task.recipe, steps=1200))
    monkeypatch.setitem(TASKS, "hopper-medium", task)
    return server


@pytest.fixture
def published(make_dataset, tmp_path) -> bytes:
    write_d4rl(tmp_path / "published.hdf5", make_dataset([4, 5]))
    return (tmp_path / "published.hdf5").read_bytes()


@pytest.mark.parametrize("source", ["auto", "d4rl"])
def test_a_task_is_downloaded_once_and_says_from_where(d4rl, published, folders, source):
    d4rl.answers = [serve(published, length=len(published))]
    lines: list[str] = []
    first = load("hopper-medium", source=source, log=lines.append)
    again = load("hopper-medium", source=source, log=lines.append)
    url = f"{d4rl.url}/gym_mujoco_v2/hopper_medium-v2.hdf5"
    path = folders / "d4rl" / "hopper_medium-v2.hdf5"
    assert [place for place, _ in d4rl.requests] == ["/gym_mujoco_v2/hopper_medium-v2.hdf5"]
    assert lines == [
        f"data: hopper-medium from {path} (downloaded now from {url})",
        f"data: hopper-medium from {path} (found in the D4RL cache)",
    ]
    record = first.provenance
    assert first.num_steps == 9 and record == again.provenance
    assert (record.source, record.id, record.env_id) == ("d4rl", "hopper-medium", "Hopper-v4")
    sha256 = hashlib.sha256(published).hexdigest()
    assert record.details["download"] == {"url": url, "size": len(published), "sha256": sha256}
    assert load(path, log=None).provenance.source == "hdf5"  # a file by itself is of no task


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (reply(403), "HTTP 403"),
        (reply(200, b"<html>", Content_Type="text/html"), "text/html"),
        (lambda handler: handler.server.closing.wait(10) and None, "nothing arrived for 0.2"),
    ],
)
def test_what_cannot_be_downloaded_is_regenerated(d4rl, monkeypatch, answer, why):
    monkeypatch.setattr(d4rl_source, "SHORT_TIMEOUT", 0.2)
    d4rl.answers = [answer]
    lines: list[str] = []
    record = load("hopper-medium", log=lines.append).provenance
    assert len(lines) == 2 and lines[0].startswith("data: hopper-medium was not downloaded from")
    assert why in lines[0] and "regenerated now, 1200 steps" in lines[1]
    assert (record.source, record.env_id) == ("regenerated", "Hopper-v4")
    assert "download" not in record.details
    load("hopper-medium", log=lines.append)
    assert "regenerated before" in lines[2] and len(d4rl.requests) == 1


def test_d4rl_is_never_regenerated(d4rl, folders):
    load("hopper-medium", source="regenerated", log=None)
    assert not d4rl.requests
    d4rl.answers = [reply(404)]
    with pytest.raises(FileNotFoundError, match=r"none was downloaded .*HTTP 404.*LPT_D4RL_URL"):
        load("hopper-medium", source="d4rl", log=None)
    with pytest.raises(FileNotFoundError, match=r"HTTP 404.*It cannot be regenerated"):
        load("ant-medium", log=None)
    assert len(d4rl.requests) == 2


def test_a_size_or_seed_asks_for_regenerated_data(d4rl):
    for options in ({"steps": 1000}, {"seed": 1}):
        data = load("hopper-medium", log=None, **options)
        assert data.provenance.source == "regenerated"
    assert not d4rl.requests


def test_a_folder_that_cannot_be_made_does_not_stop_regeneration(d4rl, folders, monkeypatch):
    (folders / "file").write_text("no folder")
    monkeypatch.setenv("D4RL_DATASET_DIR", str(folders / "file" / "d4rl"))
    lines: list[str] = []
    assert load("hopper-medium", log=lines.append).provenance.source == "regenerated"
    assert "Not a directory" in lines[0]


def test_two_runs_at_once_take_the_same_data(d4rl, published):
    pytest.importorskip("fcntl")
    lines: list[str] = []
    waiting = threading.Event()
    sets = []

    def note(line: str) -> None:
        lines.append(line)
        waiting.set()

    other = threading.Thread(target=lambda: sets.append(load("hopper-medium", log=note)))

    def answer(handler: Handler) -> None:
        other.start()
        waiting.wait(5)
        serve(published, length=len(published))(handler)

    d4rl.answers = [answer]
    sets.append(load("hopper-medium", log=None))
    other.join()
    assert len(d4rl.requests) == 1 and sets[0].provenance == sets[1].provenance
    assert lines[0].startswith("data: waiting: ") and "hopper_medium-v2.hdf5" in lines[1]
