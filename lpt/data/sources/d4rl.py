"""D4RL's files: in its cache on this machine, and on its server."""

from __future__ import annotations

from lpt.data.sources.d4rl_server import d4rl_url
from lpt.data.sources.download import DEADLINE, TIMEOUT, fetch
from lpt.data.sources.source import Found, Missing, Request
from lpt.data.sources.transfer import DownloadError
from lpt.machine.offline import OFFLINE, offline

SHORT_TIMEOUT = 5.0
"""Seconds that `auto` waits for D4RL's server where the data can be regenerated instead."""

SHORT_DEADLINE = 900.0
"""Seconds that `auto` gives such a download altogether."""


class D4RLCache:
    """The files in `D4RL_DATASET_DIR`."""

    name = "d4rl"

    def find(self, request: Request) -> Found | Missing:
        """Find the task's file."""
        for path in request.files:
            if path.is_file():
                request.say(f"data: {request.name} from {path} (found in the D4RL cache)")
                return Found(path, "d4rl")
        return Missing()


class D4RLServer:
    """D4RL's public address, or a mirror of it."""

    name = "d4rl"

    def find(self, request: Request) -> Found | Missing:
        """Download the task's file into the D4RL cache."""
        task = request.task
        if task is None or not request.files or not request.published:
            return Missing()
        if request.auto and not task.files_fit:  # nothing that could not be evaluated here
            return Missing()
        url, path = d4rl_url(task.name), request.files[0]
        if url is None:
            return Missing(f"D4RL has no address of {task.name}")
        # There is another way, not worth waiting for.
        short = request.auto and request.recipe is not None
        if short and offline():
            return Missing(f"{OFFLINE} is set")
        try:
            timeout, deadline = (SHORT_TIMEOUT, SHORT_DEADLINE) if short else (TIMEOUT, DEADLINE)
            fetch(url, path, timeout=timeout, deadline=deadline, say=request.say)
        except OSError as error:
            reason = error.reason if isinstance(error, DownloadError) else f"{url}: {error}"
            if short:
                request.say(f"data: {request.name} was not downloaded from {reason}")
            return Missing(reason)
        request.say(f"data: {request.name} from {path} (downloaded now from {url})")
        return Found(path, "d4rl")
