"""`lpt-export`: take a trained policy elsewhere, to other runtimes or to the Hugging Face Hub."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from lpt.cli.ending import at_once, ending
from lpt.cli.version import show_version

DESCRIPTION = """Take a trained policy elsewhere.

With --out it becomes ONNX and torch.export files: one step with its history, the prior, the return
predictor, and plans to follow. With --hub it goes to the Hugging Face Hub, with a model card;
LPTPolicy.load("hf:USER/NAME") and every command that takes a run load it from there."""


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Command line of lpt-export."""

    run: tyro.conf.Positional[Path]
    """Run folder (runs/<task>/<engine>-seed<k>), a checkpoint inside it, or
    pretrained:NAME."""
    which: Literal["last", "best"] = "last"
    """Checkpoint of the run."""
    out: Path | None = None
    """Folder to write ONNX and torch.export files to (needs the extra 'export')."""
    target: float | None = None
    """Return that the plans written to --out are for, raw units; unset: as configured."""
    plans: int = 16
    """Number of plans written to --out."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace --out if it is an exported folder."""
    hub: str | None = None
    """Push the policy to this model of the Hub, as in user/name (needs the extra 'hub')."""
    private: tyro.conf.FlagCreatePairsOff[bool] = False
    """Make the model private if it is a new one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 with one line on stderr for a user's error."""
    if show_version("lpt-export", sys.argv[1:] if arguments is None else arguments):
        return 0
    options = tyro.cli(Arguments, args=arguments, description=DESCRIPTION, prog="lpt-export")
    return ending("lpt-export", lambda: run(options))


def run(options: Arguments) -> None:
    """Write the files or push the policy, or both.

    Raises:
        ValueError: neither was asked for.
    """
    if options.out is None and options.hub is None:
        raise ValueError("nothing to do: give --out FOLDER, --hub USER/NAME or both")
    with at_once():
        from lpt.evaluation.policy import LPTPolicy

    policy = LPTPolicy.load(options.run, options.which)
    if options.out is not None:
        from lpt.export.files import export_policy

        folder = export_policy(
            policy,
            options.out,
            target=options.target,
            plans=options.plans,
            overwrite=options.overwrite,
        )
        print(f"wrote {folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")
    if options.hub is not None:
        from lpt.export.hub import push

        address = push(policy, options.hub, options.run, private=options.private)
        print(f'pushed to {address}; load it with LPTPolicy.load("hf:{options.hub}")')


if __name__ == "__main__":
    sys.exit(main())
