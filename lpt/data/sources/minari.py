"""Minari's data sets: on this machine, and on its server."""

from __future__ import annotations

from lpt.data.sources.minari_server import fetch_minari, is_local, remote
from lpt.data.sources.source import Found, Missing, Request


class LocalMinari:
    """The data sets on this machine."""

    name = "minari"

    def find(self, request: Request) -> Found | Missing:
        """Find the data set of the request's id."""
        minari_id, task = request.minari_id, request.task
        if minari_id is None or not request.published or not is_local(minari_id):
            return Missing()
        why = "asked for"
        if request.auto and task is not None:
            why = "no D4RL file" if task.files_fit else f"D4RL's files do not fit {task.env_id}"
        request.say(f"data: {request.name} from the local Minari data set {minari_id} ({why})")
        return Found(minari_id, "minari")


class MinariServer:
    """Hugging Face, or where `MINARI_REMOTE` says; only if it is asked for."""

    name = "minari"

    def find(self, request: Request) -> Found | Missing:
        """Download the data set of the request's id.

        Raises:
            FileNotFoundError: it could not be had; says what to do instead.
            ValueError: the id is no Minari id.
        """
        if request.auto or request.minari_id is None:
            return Missing()
        fetch_minari(request.minari_id)
        request.say(
            f"data: {request.name} from the Minari data set {request.minari_id} (downloaded now "
            f"from {remote()})"
        )
        return Found(request.minari_id, "minari")
