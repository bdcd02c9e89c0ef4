"""Pack a run into the package, so that `pretrained:NAME` is a policy wherever a run folder is.

    python scripts/pack_pretrained.py RUN maze2d-umaze
    python scripts/pack_pretrained.py runs/connect-four/langevin-seed0 connect-four
    python scripts/pack_pretrained.py runs/hopper-medium-replay/langevin-seed0 hopper

Only what acts is kept: no optimizer, chains or engine, of the remembered plans an evenly spaced
part (draws of the same distribution, fewer of them), numbers in 16 bits, no paths of this machine.
An evaluation of the packed policy beside the run's own says what that costs:

    lpt-eval RUN --episodes 100; lpt-eval pretrained:NAME --episodes 100
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import torch
from torch import Tensor

from lpt.checkpoint.files import POLICY_JSON, Which, load_policy_files, save_policy
from lpt.checkpoint.metadata import PolicyMetadata
from lpt.evaluation.fitting import check_weights
from lpt.export.hub import shareable
from lpt.machine.files import check_replaceable

ROOT = Path(__file__).parents[1]
PLANS = 1024
"""Remembered plans that are kept."""


def pack(
    run: Path | str, folder: Path, *, plans: int = PLANS, which: Which = "last", overwrite: bool
) -> Path:
    """Write the policy of a run, small enough to ship, to a folder.

    Raises:
        FileExistsError: the folder is there and `overwrite` is False, or it holds no policy.
        FileNotFoundError: there is no policy at `run`.
        ValueError: a weight does not fit into 16 bits.
    """
    check_replaceable(folder, POLICY_JSON, overwrite)
    weights, metadata = load_policy_files(run, which)
    weights, metadata = thinned(weights, metadata, plans)
    halves = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in weights.items()
    }
    metadata = shareable(metadata)
    check_weights(halves, metadata, str(run))
    return save_policy(folder, halves, metadata)


def thinned(
    weights: dict[str, Tensor], metadata: PolicyMetadata, plans: int
) -> tuple[dict[str, Tensor], PolicyMetadata]:
    """Return weights and metadata with at most so many remembered plans, evenly spaced."""
    if not int(weights.get("remembered.count", 0)):
        return weights, metadata
    held = min(int(weights["remembered.count"]), len(weights["remembered.plans"]))
    kept = torch.linspace(0, held - 1, min(plans, held)).round().long()
    small = {
        **weights,
        "remembered.plans": weights["remembered.plans"][kept],
        "remembered.count": torch.tensor(len(kept)),
    }
    model = dataclasses.replace(metadata.config.model, remembered_plans=len(kept))
    config = dataclasses.replace(metadata.config, model=model)
    return small, dataclasses.replace(metadata, config=config)


def main() -> int:
    """Pack as the command line says; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="run folder of lpt-train")
    parser.add_argument("name", help="what it is called: pretrained:NAME")
    parser.add_argument("--plans", type=int, default=PLANS, help="remembered plans to keep")
    parser.add_argument("--which", choices=("last", "best"), default="last")
    parser.add_argument("--overwrite", action="store_true", help="replace the one of that name")
    parser.add_argument("--into", type=Path, default=ROOT / "lpt" / "pretrained")
    options = parser.parse_args()
    try:
        folder = pack(
            options.run,
            options.into / options.name,
            plans=options.plans,
            which=options.which,
            overwrite=options.overwrite,
        )
    except (ValueError, OSError) as error:
        print(f"pack_pretrained: {error}", file=sys.stderr)
        return 2
    print(f"{folder}: {sum(path.stat().st_size for path in folder.iterdir()) / 1e3:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
