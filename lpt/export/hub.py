"""`push`: a policy to the Hugging Face Hub, with a model card; `LPTPolicy.load` has it back.

What is pushed are the files of a checkpoint, without anything that only training needs and without
this machine's paths. A push is a commit: what was there before stays under its revision.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from lpt.checkpoint.files import save_policy
from lpt.checkpoint.metadata import PolicyMetadata
from lpt.evaluation.policy import LPTPolicy
from lpt.export.card import model_card
from lpt.machine.untrusted import one_line
from lpt.reporting.results import portable


def push(policy: LPTPolicy, name: str, run: Path | str, *, private: bool = False) -> str:
    """Push a policy to the Hub as `name`, and return its address there.

    Args:
        policy: the policy.
        name: `USER/NAME`; made if it is not there.
        run: where the policy came from; results that lie in it go on the card.
        private: make a new one private.

    Raises:
        ModuleNotFoundError: the extra `hub` is not installed.
        ValueError: `name` is none that the Hub takes.
        OSError: the Hub refused, or was not to be reached.
    """
    try:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HFValidationError
    except ImportError as error:
        raise ModuleNotFoundError(
            "pushing needs huggingface_hub: pip install 'lpt-toolkit[hub]'"
        ) from error
    metadata = shareable(policy.metadata)
    with TemporaryDirectory() as scratch:
        folder = save_policy(Path(scratch) / "policy", policy.model.state_dict(), metadata)
        (folder / "README.md").write_text(model_card(metadata, name, run), encoding="utf-8")
        api, message = HfApi(), f"{metadata.task}, {metadata.updates} updates"
        try:
            address = api.create_repo(name, private=private or None, exist_ok=True)
            api.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
        except HFValidationError as error:
            raise ValueError(f"{name!r} is no name for the Hub ({one_line(error)})") from error
        except Exception as error:  # it lets through whatever its HTTP library raises
            raise OSError(
                f"cannot push to {name} ({one_line(error)}): `hf auth login` with a token that may "
                "write, and a name under your user or organization"
            ) from error
    return str(address)


def shareable(metadata: PolicyMetadata) -> PolicyMetadata:
    """Return metadata without this machine's paths."""
    return PolicyMetadata.from_dict(portable(metadata.to_dict()))
