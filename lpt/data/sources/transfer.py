"""One HDF5 file on its way over http or https: requests, resumption, and what can go wrong."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any
from urllib import error, request

import h5py
from tqdm import tqdm

from lpt.data.sources.answer import Deadline, opener, stated_part, stated_size
from lpt.data.sources.d4rl_server import MIRROR
from lpt.version import __version__

_MAGIC = b"\x89HDF\r\n\x1a\n"
_CHUNK = 1 << 16


class DownloadError(ConnectionError):
    """The file could not be had; the message says why and what to do instead.

    A `ConnectionError`, hence an `OSError`. Trouble on this side (no room, no right to write) is
    another `OSError`. `reason` is the address and why, without what to do.
    """

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason


class BusyError(DownloadError):
    """Another process is fetching the same file."""


class _Interrupted(Exception):
    """The transfer stopped; what arrived is kept and another attempt may bring more."""


@dataclass
class Transfer:
    """One file on its way into `part`; `state` says what `part` is the beginning of."""

    url: str
    target: Path
    state: Path
    timeout: float
    progress: bool
    most: int
    deadline: Deadline
    record: dict[str, Any] = field(default_factory=dict)  # of `state`

    def __post_init__(self) -> None:
        self.part = self.target.with_name(f".{self.target.name}.part")
        try:
            record = json.loads(self.state.read_text(encoding="utf-8"))
            self.record = record if record["url"] == self.url else {}
        except (ValueError, TypeError, KeyError):
            self.record = {}

    @property
    def have(self) -> int:
        """Bytes in `part` that the rest can be added to."""
        known = self.record.get("validator") and self.part.is_file()
        return self.part.stat().st_size if known else 0

    def run(self, attempts: int, pause: float) -> None:
        """Transfer everything that is missing, see `download`."""
        most = self.have
        for attempt in range(1, attempts + 1):
            if self.have and self.have == self.record.get("size"):
                return
            try:
                return self._fetch()
            except _Interrupted as stop:
                if self.deadline.passed:
                    raise self._late() from stop.__cause__
                arrived = self.part.stat().st_size if self.part.is_file() else 0
                if attempt == attempts or arrived <= most:
                    kept = f" {self.have} bytes are kept: the next call resumes." * bool(self.have)
                    raise self._failure(f"{stop}.{kept}") from stop.__cause__
                most = arrived
                time.sleep(pause)
        raise ValueError(f"attempts={attempts}: expected at least 1")

    def check(self) -> None:
        """Refuse a file that is not complete, whatever length the server stated."""
        try:
            with h5py.File(self.part, "r") as file:
                complete = len(file) > 0
        except (OSError, RuntimeError) as problem:
            self._discard()
            raise self._failure(f"what arrived is damaged ({problem}).") from problem
        if not complete:
            self._discard()
            raise self._failure("what arrived is an empty HDF5 file.")

    def _fetch(self) -> None:
        """Make one request and store the answer."""
        headers = {"User-Agent": f"lpt-toolkit/{__version__}", "Accept-Encoding": "identity"}
        if have := self.have:
            headers |= {"Range": f"bytes={have}-", "If-Range": self.record["validator"]}
        try:
            with self._open(request.Request(self.url, headers=headers)) as response:
                self._store(response, self._accept(response, have))
        except TimeoutError as problem:
            message = f"nothing arrived for {self.timeout:g} seconds"
            raise _Interrupted(message) from problem
        except (HTTPException, ConnectionError) as problem:
            if isinstance(problem, DownloadError):
                raise
            raise _Interrupted(f"the connection broke off ({_short(problem)})") from problem

    def _open(self, query: request.Request) -> HTTPResponse:
        """Send the request; errors of the server or on the way to it become messages."""
        try:
            response: HTTPResponse = opener(self.deadline).open(query, timeout=self.timeout)
            return response
        except error.HTTPError as problem:
            problem.close()
            if problem.code == 416 and query.has_header("Range"):  # what is here does not fit
                self._discard()
                query.remove_header("Range")
                return self._open(query)
            raise self._failure(_status(problem)) from problem
        except error.URLError as problem:
            reason = problem.reason
            if self.deadline.passed:
                raise self._late() from problem
            if isinstance(reason, TimeoutError):
                reason = f"no answer within {self.timeout:g} seconds"
            raise self._failure(f"the server cannot be reached ({reason}).") from problem
        except (HTTPException, ValueError) as problem:  # ValueError: of an address to go on to
            if self.deadline.passed:
                raise self._late() from problem
            raise self._failure(f"its answer is malformed ({_short(problem)}).") from problem

    def _accept(self, response: HTTPResponse, have: int) -> int:
        """Read the head of the answer, and return where in the file its body begins."""
        partial = response.status == 206
        try:
            headers = response.headers
            size = stated_part(headers, have) if partial else stated_size(headers)
        except ValueError as problem:
            self._discard()
            raise self._failure(f"{problem}.") from problem
        if size is not None:
            self._check_room(size, have if partial else 0)
        if not partial:  # before the state is written: it must never vouch for another file's bytes
            self.part.unlink(missing_ok=True)
        etag = response.headers.get("ETag", "")
        strong = etag if etag.startswith('"') else None  # a weak one does not vouch for bytes
        self.record = {
            "url": self.url,
            "validator": strong or response.headers.get("Last-Modified"),
            "size": size,
        }
        self.state.write_text(json.dumps(self.record), encoding="utf-8")
        return have if partial else 0

    def _check_room(self, size: int, have: int) -> None:
        """Raise DownloadError for a file beyond the cap, OSError for one beyond the disk."""
        if size > self.most:
            raise self._failure(f"it states {size} bytes, more than the {self.most} to take.")
        free = shutil.disk_usage(self.target.parent).free
        if size - have > free:
            why = f"no room: {size - have} bytes are needed, {free} are free"
            raise OSError(errno.ENOSPC, why, str(self.target.parent))

    def _store(self, response: HTTPResponse, start: int) -> None:
        size = self.record["size"]
        options = {"unit": "B", "unit_scale": True, "file": sys.stderr, "leave": False}
        with (
            open(self.part, "ab" if start else "wb", buffering=0) as file,
            tqdm(
                desc=self.target.name,
                total=size,
                initial=start,
                disable=not self.progress,
                **options,
            ) as bar,
        ):
            head, most = b"", self.most if size is None else size
            while block := response.read1(_CHUNK):
                if not start and len(head) < len(_MAGIC):
                    head = (head + block)[:_CHUNK]
                    self._check_head(head, response)
                if file.write(block) < len(block):  # a raw file writes what there is room for
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.part))
                if file.tell() > most:
                    self._discard()
                    raise self._failure(f"it sent more than {most} bytes.")
                bar.update(len(block))
        arrived = self.part.stat().st_size
        if self.deadline.passed:
            raise _Interrupted("the time was up")
        if size is not None and arrived != size:
            raise _Interrupted(f"the connection broke off after {arrived} of {size} bytes")

    def _check_head(self, head: bytes, response: HTTPResponse) -> None:
        """Refuse at once what does not begin as HDF5 does: mostly a page in HTML."""
        if head[: len(_MAGIC)] != _MAGIC[: len(head)]:
            self._discard()
            kind = response.headers.get("Content-Type", "unknown type")
            start = head[:60].decode("ascii", "replace")
            raise self._failure(f"it sent no HDF5 file but {kind}: {start!r}.")

    def _discard(self) -> None:
        self.record = {}
        self.state.write_text("", encoding="utf-8")
        self.part.unlink(missing_ok=True)

    def _late(self) -> DownloadError:
        kept = f" {self.have} bytes are kept: the next call resumes." * bool(self.have)
        return self._failure(f"it took longer than {self.deadline.seconds:g} seconds.{kept}")

    def _failure(self, what: str) -> DownloadError:
        return DownloadError(
            f"{self.url}: {what} Put the file at {self.target}, set {MIRROR} to a mirror (now "
            f"{os.environ.get(MIRROR) or 'not set'}), or use --source regenerated where the task "
            "has a generator.",
            reason=f"{self.url}: {what}",
        )


def _status(problem: error.HTTPError) -> str:
    kinds = {
        401: "it wants a login",
        403: "access is denied, by the server or by a proxy on the way",
        404: "there is no such file",
        407: "the proxy wants a login",
    }
    kind = kinds.get(problem.code, "the server is in trouble" if problem.code >= 500 else "refused")
    return f"{kind} (HTTP {problem.code} {_short(problem.reason)})."


def _short(problem: object) -> str:
    """Return what a server or a parser said, in one printable line."""
    text = " ".join((str(problem) or type(problem).__name__).split())[:200]
    return "".join(c if c.isprintable() else "?" for c in text)
