"""Where a policy lies: a folder, one that this package ships, or one of the Hugging Face Hub.

Whatever takes a run folder takes `pretrained:NAME` and `hf:USER/NAME` (`hf:USER/NAME@REVISION`)
in its place.
"""

from __future__ import annotations

from pathlib import Path

from lpt.machine.offline import OFFLINE, offline
from lpt.machine.untrusted import one_line

SHIPPED, HUB = "pretrained:", "hf:"
_FOLDER = Path(__file__).parents[1] / "pretrained"
_FILES = ["policy.json", "policy.safetensors"]


def locate(path: Path | str) -> Path:
    """Return the folder that a path or name stands for; what the Hub keeps is fetched first.

    Raises:
        FileNotFoundError: a policy of that name is not shipped, or not to be had from the Hub.
        ModuleNotFoundError: the Hub's client, the extra `hub`, is not installed.
    """
    name = Path(path).as_posix()
    if name.startswith(SHIPPED):
        return _shipped_folder(name.removeprefix(SHIPPED))
    return _fetch(name.removeprefix(HUB)) if name.startswith(HUB) else Path(path)


def shipped() -> list[str]:
    """Return the names of the policies that this package ships."""
    return sorted(path.parent.name for path in _FOLDER.glob("*/policy.json"))


def _shipped_folder(name: str) -> Path:
    names = shipped()
    if name not in names:
        known = ", ".join(f"{SHIPPED}{known}" for known in names) or "none"
        raise FileNotFoundError(
            f"{SHIPPED}{name} is not shipped with this lpt-toolkit, which has {known}: take one of "
            "them, or the folder of a run of your own"
        )
    return _FOLDER / name


def _fetch(name: str) -> Path:
    """Return the local copy of a model of the Hub; with `LPT_OFFLINE` only one that is there."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ModuleNotFoundError(
            f"{HUB}{name} needs huggingface_hub: pip install 'lpt-toolkit[hub]'"
        ) from error
    repository, _, revision = name.partition("@")
    try:
        return Path(
            snapshot_download(
                repository,
                revision=revision or None,
                allow_patterns=_FILES,
                local_files_only=offline(),
            )
        )
    except Exception as error:  # it lets through whatever its HTTP library raises
        why = f"{OFFLINE} is set, and it was not fetched before" if offline() else one_line(error)
        raise FileNotFoundError(
            f"{HUB}{name} cannot be had from the Hugging Face Hub ({why}): expected "
            f"{HUB}USER/NAME of a model that lpt-export --hub pushed; `hf auth login` for private "
            "ones"
        ) from error
