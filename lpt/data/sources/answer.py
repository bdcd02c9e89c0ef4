"""What a server says before the bytes, taken for what it may be: anything."""

from __future__ import annotations

import re
import socket
import threading
import time
from http.client import HTTPConnection, HTTPMessage, HTTPResponse, HTTPSConnection
from types import TracebackType
from typing import Any
from urllib import error, request

_MOST_DIGITS = 15


class Deadline:
    """Cuts connections off when the time is up.

    A timeout is for the next bytes only: a server that sends one now and then outlives it, in the
    body and in every line before it.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self._end = seconds, time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    @property
    def passed(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._end

    def watch(self, connected: socket.socket) -> None:
        """Have a connection cut off when the time is up."""
        self._sockets.append(connected)

    def _cut(self) -> None:
        for connected in self._sockets:
            try:
                connected.shutdown(socket.SHUT_RDWR)
            except OSError:  # it has ended by itself
                continue

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._timer.cancel()


def opener(deadline: Deadline) -> request.OpenerDirector:
    """Return an opener of http and https only: urllib's own also follows ftp and file."""
    director = request.OpenerDirector()
    for handler in (
        request.ProxyHandler(),
        _Plain(deadline),
        _Secure(deadline),
        Redirects(),
        request.HTTPDefaultErrorHandler(),
        request.HTTPErrorProcessor(),
        request.UnknownHandler(),
    ):
        director.add_handler(handler)
    return director


def stated_size(headers: HTTPMessage) -> int | None:
    """Return the length that the headers state, None if they state none.

    Raises:
        ValueError: they state several, or no number.
    """
    stated = set(headers.get_all("Content-Length", []))
    if not stated:
        return None
    if len(stated) > 1:
        raise ValueError(f"it stated several lengths ({', '.join(sorted(stated))[:60]})")
    return _number(stated.pop(), "length")


def stated_part(headers: HTTPMessage, have: int) -> int:
    """Return the size of the file of which the headers announce the rest after `have` bytes.

    Raises:
        ValueError: they announce something else.
    """
    text = headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", text, re.ASCII)
    if match is not None:
        start, end, size = (_number(number, "part") for number in match.groups())
        if start == have and end == size - 1:
            return size
    raise ValueError(f"it answered with another part of the file ({text[:60]!r})")


def _number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > _MOST_DIGITS:
        raise ValueError(f"it stated a {what} that is none ({text[:60]!r})")
    return int(text)


class Redirects(request.HTTPRedirectHandler):
    """Follows a few redirects, and none from https to http."""

    max_redirections = 5

    def http_error_302(
        self, req: request.Request, fp: Any, code: int, msg: str, headers: HTTPMessage
    ) -> Any:
        """Follow one; an address that makes no sense leaves no connection open."""
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: request.Request, fp: Any, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> request.Request | None:
        """Return the next request, or raise HTTPError."""
        fp.close()  # urllib would read the answer's body, which may be endless
        if req.type == "https" and not newurl.lower().startswith("https:"):
            why = "redirected from https to http, where anybody on the way can change the file"
            raise error.HTTPError(req.full_url, code, why, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Plain(request.HTTPHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self.deadline = deadline

    def http_open(self, req: request.Request) -> HTTPResponse:
        deadline = self.deadline

        class Connection(HTTPConnection):
            def connect(self) -> None:
                super().connect()
                deadline.watch(self.sock)

        return self.do_open(Connection, req)


class _Secure(request.HTTPSHandler):
    def __init__(self, deadline: Deadline) -> None:
        super().__init__()
        self.deadline = deadline

    def https_open(self, req: request.Request) -> HTTPResponse:
        deadline = self.deadline

        class Connection(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                deadline.watch(self.sock)

        return self.do_open(Connection, req)
