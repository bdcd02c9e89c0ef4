"""From a request to data that can be read: the sources in their order."""

from __future__ import annotations

from collections.abc import Sequence

from lpt.data.sources.d4rl import D4RLCache, D4RLServer
from lpt.data.sources.d4rl_server import MIRROR
from lpt.data.sources.made import Making, Regenerated, Shipped
from lpt.data.sources.minari import LocalMinari, MinariServer
from lpt.data.sources.source import Found, Request, Source

SOURCES: tuple[Source, ...] = (
    D4RLCache(),
    LocalMinari(),
    Regenerated(),
    Shipped(),
    D4RLServer(),
    MinariServer(),
    Making(),
)
"""All sources, in the order in which `auto` asks them; a name asks only those of that name."""

NAMES = ("auto", "d4rl", "regenerated", "shipped")
"""What the data of a task are asked for by, besides Minari's."""


def resolve(request: Request) -> Found:
    """Return what the first source has that has anything.

    Raises:
        FileNotFoundError: there is no such data on this machine; says where to put it.
        ValueError: the size or seed of regenerated data is out of range.
    """
    reason = ""
    for source in _in_order(request):
        found = source.find(request)
        if isinstance(found, Found):
            return found
        reason = found.reason or reason
    raise FileNotFoundError(_no_d4rl_file(request, reason))


def _in_order(request: Request) -> Sequence[Source]:
    if not request.auto:
        return [source for source in SOURCES if source.name == request.source]
    if request.task is None or request.task.files_fit:
        return SOURCES
    # Policies trained on D4RL's files could not be evaluated: Minari's set goes before them.
    return sorted(SOURCES, key=lambda source: source.name != "minari")


def _no_d4rl_file(request: Request, reason: str) -> str:
    task, candidates = request.task, request.files
    if task is None or not candidates:
        return f"{request.name}: D4RL has no such data. Take source auto, regenerated or shipped."
    text = f"{task.name}: no D4RL file at {' or '.join(map(str, candidates))}"
    if reason:
        text += f", and none was downloaded ({reason.rstrip('.')})"
    text += (
        ". Put the file there, set D4RL_DATASET_DIR to its folder, give its path as the source, or "
        f"set {MIRROR} to a mirror."
    )
    if not task.files_fit:
        return (
            f"{text} --source d4rl downloads it; policies trained on it cannot act in "
            f"{task.env_id}. --source minari downloads {task.minari_id}, made in that environment "
            f"(or run 'minari download {task.minari_id}')."
        )
    if not task.generated:
        text += " It cannot be regenerated here"
        expert = task.recipe is not None
        text += " before scripts/train_behavior.py has trained an expert." if expert else "."
    return text
