"""Servers that mean no good, or are broken: every one ends in one line, and `auto` goes on."""

import contextlib
import errno
import io
import itertools
import resource
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from http.client import HTTPMessage
from urllib import error, request

import h5py
import numpy as np
import pytest

from lpt.data import load
from lpt.data.sources import d4rl as d4rl_source
from lpt.data.sources.answer import Redirects
from lpt.data.sources.download import DownloadError, download
from lpt.data.tasks import TASKS

QUICK = {"timeout": 0.3, "pause": 0.0, "progress": False, "deadline": 1.0, "most": 1 << 20}
Answer = Callable[[str], Iterable[bytes]]
"""Takes the server's address and yields what is sent."""


def whole() -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["observations"] = np.arange(5000.0)
    return buffer.getvalue()


DATA = whole()
OK = b"HTTP/1.1 200 OK\r\n"


class Raw:
    """A server that sends bytes as they are given, and stops when it is closed."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.answer: Answer = lambda url: ()
        self.requests, self.sent, self.closing = 0, 0, threading.Event()
        self.threads = [threading.Thread(target=self._serve)]
        self.threads[0].start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.socket.accept()
                self.threads.append(threading.Thread(target=self._talk, args=(client,)))
                self.threads[-1].start()

    def _talk(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.recv(65536)
            self.requests += 1
            for part in self.answer(self.url):
                if self.closing.is_set():
                    return
                client.sendall(part)
                self.sent += len(part)

    def close(self) -> None:
        self.closing.set()
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for thread in self.threads:
            thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Raw]:
    monkeypatch.delenv("LPT_OFFLINE", raising=False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    raw = Raw()
    yield raw
    raw.close()


def endless(url: str) -> Iterator[bytes]:
    yield OK + b"\r\n" + DATA[:8]
    yield from itertools.repeat(bytes(65536))


def more_than_stated_in_chunks(url: str) -> Iterator[bytes]:
    yield OK + b"Content-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n"
    yield from itertools.repeat(b"10000\r\n" + DATA[:8] + bytes(65528) + b"\r\n")


def drip(url: str) -> Iterator[bytes]:
    yield OK + b"\r\n"
    for byte in itertools.cycle(DATA):
        time.sleep(0.05)
        yield bytes([byte])


def drip_of_lines(url: str) -> Iterator[bytes]:
    while True:
        yield b"HTTP/1.1 100 Continue\r\n\r\n"
        time.sleep(0.05)


def loop(url: str) -> Iterator[bytes]:
    yield f"HTTP/1.1 302 Found\r\nLocation: {url}/again\r\n\r\n".encode()


def redirect_without_end(url: str) -> Iterator[bytes]:
    yield f"HTTP/1.1 302 Found\r\nLocation: {url}/next\r\n\r\n".encode()
    yield from itertools.repeat(bytes(65536))


def once(*parts: bytes) -> Answer:
    return lambda url: parts


REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: "
HOSTILE: dict[str, tuple[Answer, str]] = {
    "endless body": (endless, "sent more than 1048576 bytes"),
    "more than stated": (more_than_stated_in_chunks, "sent more than 100 bytes"),
    "drip": (drip, "took longer than 1 seconds"),
    "drip of lines": (drip_of_lines, "took longer than 1 seconds"),
    "redirect loop": (loop, "HTTP 302"),
    "endless redirects": (redirect_without_end, "HTTP 302"),
    "redirect to nowhere": (once(REDIRECT + b"http://[::1\r\n\r\n"), "malformed"),
    "redirect to a port": (once(REDIRECT + b"http://127.0.0.1:99999999/\r\n\r\n"), "."),
    "redirect to words": (once(REDIRECT + b"http://a b\xff\r\n/\r\n\r\n"), "."),
    "garbage status": (once(b"\x00\xff garbage \x1b[31m\r\n\r\n"), "malformed|broke off"),
    "status of letters": (once(b"HTTP/1.1 abc OK\r\n\r\n"), "malformed|broke off"),
    "nothing": (once(), "broke off|malformed"),
    "header flood": (once(OK, *[b"X: y\r\n"] * 200, b"\r\n"), "headers"),
    "long header": (once(OK, b"X: " + b"y" * 70000 + b"\r\n\r\n"), "65536"),
    "broken chunk": (once(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"), "broke off"),
    "negative chunk": (once(OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n" + DATA), "."),
    "half a chunk": (once(OK + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n" + DATA[:9]), "broke"),
    "two lengths": (
        once(OK + b"Content-Length: 9\r\nContent-Length: 8\r\n\r\n"),
        "several lengths",
    ),
    "a length of words": (once(OK + b"Content-Length: many\r\n\r\n" + DATA), "length that is none"),
    "a long length": (once(OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"), "that is none"),
    "a large length": (once(OK + b"Content-Length: 99999999\r\n\r\n"), "more than the 1048576"),
    "another part": (
        once(b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 5-9/10\r\n\r\n12345"),
        "another part",
    ),
    "a part beyond": (
        once(b"HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-99/10\r\n\r\n"),
        "another part",
    ),
}


@pytest.mark.parametrize(("answer", "why"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_server_gets_one_line(server, tmp_path, answer, why):
    server.answer = answer
    began = time.monotonic()
    with pytest.raises(DownloadError, match=why) as caught:
        download(f"{server.url}/a.hdf5", tmp_path / "a.hdf5", **QUICK)
    assert time.monotonic() - began < 3 and server.sent < 32 << 20
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000
    assert not (tmp_path / "a.hdf5").exists()


def test_what_drips_in_is_kept_for_the_next_call(server, tmp_path):
    def slow(url: str) -> Iterator[bytes]:
        yield OK + f'ETag: "1"\r\nContent-Length: {len(DATA)}\r\n\r\n'.encode()
        for start in range(0, len(DATA), 4000):
            yield DATA[start : start + 4000]
            time.sleep(0.1)

    server.answer = slow
    with pytest.raises(DownloadError, match=r"took longer than 0\.25 seconds. \d+ bytes are kept"):
        download(server.url, tmp_path / "a.hdf5", **{**QUICK, "deadline": 0.25})
    assert (tmp_path / ".a.hdf5.part").stat().st_size >= 4000


@pytest.mark.parametrize("name", ["endless body", "garbage status", "redirect to nowhere", "drip"])
def test_auto_goes_on_to_regeneration(server, folders, monkeypatch, name):
    monkeypatch.setenv("LPT_D4RL_URL", server.url)
    monkeypatch.delenv("LPT_BEHAVIOR_DIR", raising=False)
    monkeypatch.setattr(d4rl_source, "SHORT_DEADLINE", 0.3)
    task = TASKS["hopper-medium"]
    monkeypatch.setitem(
        TASKS, "hopper-medium", replace(task, recipe=replace(task.recipe, steps=600))
    )
    server.answer = HOSTILE[name][0]
    lines: list[str] = []
    assert load("hopper-medium", log=lines.append).provenance.source == "regenerated"
    assert "was not downloaded from" in lines[0] and "regenerated now" in lines[1]


def test_a_full_disk_is_named_before_the_first_byte(server, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=100))
    server.answer = once(OK + f"Content-Length: {len(DATA)}\r\n\r\n".encode(), DATA)
    with pytest.raises(OSError, match=rf"no room: {len(DATA)} bytes are needed, 100 are free") as e:
        download(server.url, tmp_path / "a.hdf5", **QUICK)
    assert e.value.errno == errno.ENOSPC and not (tmp_path / ".a.hdf5.part").exists()


def test_a_disk_that_fills_up_is_an_error_of_this_side(server, tmp_path):
    server.answer = once(OK + b"\r\n", DATA)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(OSError) as caught:
            download(server.url, tmp_path / "a.hdf5", **QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno in (errno.ENOSPC, errno.EFBIG)
    assert not isinstance(caught.value, DownloadError) and not (tmp_path / "a.hdf5").exists()


def test_https_never_becomes_http(server, tmp_path, monkeypatch):
    """A real TLS server whose certificate is trusted for this test."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext"]
    command += ["subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    server.answer = once(OK + b"\r\n" + DATA)
    with socket.create_server(("127.0.0.1", 0)) as plain:
        thread = threading.Thread(target=redirect_once, args=(plain, context, server.url))
        thread.start()
        url = f"https://127.0.0.1:{plain.getsockname()[1]}/a.hdf5"
        with pytest.raises(DownloadError, match="redirected from https to http"):
            download(url, tmp_path / "a.hdf5", **{**QUICK, "timeout": 5.0, "deadline": 20.0})
        thread.join()
    assert server.requests == 0


def redirect_once(plain: socket.socket, context: ssl.SSLContext, place: str) -> None:
    client, _ = plain.accept()
    with contextlib.suppress(OSError), context.wrap_socket(client, server_side=True) as secure:
        secure.recv(65536)
        secure.sendall(REDIRECT + f"{place}/a.hdf5\r\nContent-Length: 0\r\n\r\n".encode())


def test_https_may_become_https_elsewhere():
    asked = request.Request("https://one.invalid/a")
    handler, nothing = Redirects(), io.BytesIO()
    found = handler.redirect_request(asked, nothing, 302, "", HTTPMessage(), "https://two.invalid/")
    assert found is not None and found.full_url == "https://two.invalid/"
    with pytest.raises(error.HTTPError):
        handler.redirect_request(asked, nothing, 302, "", HTTPMessage(), "http://one.invalid/")
