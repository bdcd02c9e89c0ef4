"""Downloading D4RL's HDF5 files from their public address, or from a mirror of it.

What has arrived waits beside the target under `.NAME.part`, and `.NAME.part.json` says what it is
the beginning of, so that the next call goes on where one broke off; the target itself appears only
when all of it is there and is an HDF5 file. `NAME.download.json` then keeps address, size and
SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib import parse

from lpt.data.sources.answer import Deadline
from lpt.data.sources.transfer import BusyError, DownloadError, Transfer
from lpt.machine.disk import flush, flush_entry
from lpt.machine.files import check_absent, write_json
from lpt.machine.offline import OFFLINE, offline

try:
    import fcntl
except ImportError:  # Windows: two processes that fetch one file at once are not kept apart there
    fcntl = None  # type: ignore[assignment]

TIMEOUT = 10.0
"""Seconds to wait for a connection, and for the next bytes."""
DEADLINE = 3600.0
"""Seconds that a whole download may take; what has arrived by then is kept."""
MOST = 16 << 30
"""Bytes of the largest file that is taken; D4RL's largest have some hundred million."""


@dataclass(frozen=True, kw_only=True)
class Download:
    """What arrived."""

    url: str
    """Where it was asked for."""
    path: str
    """The file, as text."""
    size: int
    """Bytes."""
    sha256: str
    """Of the file, hex."""

    def to_dict(self) -> dict[str, Any]:
        """Return address, size and checksum for a provenance."""
        return {"url": self.url, "size": self.size, "sha256": self.sha256}


def fetch(
    url: str,
    path: str | os.PathLike[str],
    *,
    timeout: float = TIMEOUT,
    deadline: float = DEADLINE,
    say: Callable[[str], None] | None = None,
) -> None:
    """Download a file, or wait for another process that does.

    Args:
        url: see `download`.
        path: see `download`; a file that is there is left alone.
        timeout: see `download`.
        deadline: see `download`.
        say: receives a line if there is something to wait for.

    Raises:
        DownloadError: see `download`.
    """
    while True:
        try:
            download(url, path, timeout=timeout, deadline=deadline)
            return
        except BusyError as busy:
            if say is not None:
                say(f"data: waiting: {busy}")
            say = None
            time.sleep(0.2)
        except FileExistsError:
            if Path(path).is_file():  # another process has finished it meanwhile
                return
            raise


def download(
    url: str,
    path: str | os.PathLike[str],
    *,
    timeout: float = TIMEOUT,
    attempts: int = 5,
    pause: float = 1.0,
    progress: bool = True,
    deadline: float = DEADLINE,
    most: int = MOST,
) -> Download:
    """Fetch an HDF5 file, and resume where an earlier call, or this one, broke off.

    A transfer is resumed only if the server said by ETag or date which file it sent and confirms
    that this is still the same; otherwise it begins anew. It is tried again only while tries bring
    the file forward: a server that cannot be reached fails at once. Proxies of the environment
    (`https_proxy`, `no_proxy`) are used.

    Args:
        url: http or https.
        path: the file to make.
        timeout: seconds to wait for a connection, and for the next bytes.
        attempts: how often at most the transfer is begun or resumed.
        pause: seconds between attempts.
        progress: show a bar on stderr.
        deadline: seconds that all of it may take.
        most: bytes of the largest file to take, whatever the server states or sends.

    Raises:
        DownloadError: the file could not be had, or what arrived is no complete HDF5 file; or
            `LPT_OFFLINE` is set.
        FileExistsError: there is a file at `path`.
        ValueError: another scheme than http and https.
    """
    if parse.urlsplit(url).scheme not in ("http", "https"):
        raise ValueError(f"{url!r}: expected an address that begins with https:// or http://")
    if offline():
        raise DownloadError(f"{url}: not asked for, since {OFFLINE} is set")
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _state(target) as state, Deadline(deadline) as limit:
        check_absent(target, overwrite=False)
        transfer = Transfer(url, target, state, timeout, progress, most, limit)
        transfer.run(attempts, pause)
        transfer.check()
        result = Download(
            url=url,
            path=str(target),
            size=transfer.part.stat().st_size,
            sha256=_sha256(transfer.part),
        )
        flush(transfer.part)
        os.replace(transfer.part, target)
        flush_entry(target)
    state.unlink(missing_ok=True)
    write_json(asdict(result), _record_path(target), overwrite=True)
    return result


def download_record(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return address, size and SHA-256 of a file that `download` made, None for other files.

    A file that has changed its size since is another file.
    """
    path = Path(path)
    try:
        record = json.loads(_record_path(path).read_text(encoding="utf-8"))
        same = path.stat().st_size == record["size"]
        return {key: record[key] for key in ("url", "size", "sha256")} if same else None
    except (OSError, ValueError, TypeError, KeyError):
        return None


@contextmanager
def _state(target: Path) -> Iterator[Path]:
    """Yield the file that says what the part is, held against other processes."""
    path = target.with_name(f".{target.name}.part.json")
    with open(path, "a", encoding="utf-8") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as problem:
                raise BusyError(f"{target}: another process is fetching this file") from problem
        yield path


def _record_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.download.json")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
