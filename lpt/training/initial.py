"""Beginning with the weights of another run instead of random ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lpt.checkpoint.files import load_policy_files, load_training_state
from lpt.checkpoint.metadata import PolicyMetadata
from lpt.config import changes, to_tree
from lpt.training.trainer import Trainer

OF_THE_DATA = "known_ends."
"""What begins the names of tensors that are no weights, but statistics of the data."""


def begin_from(trainer: Trainer, folder: Path, log: Callable[[str], None]) -> None:
    """Give a trainer the averaged weights of a run's policy, and what infers its plans.

    Optimizer, schedule and random numbers are the new run's. So are the statistics by which
    observations and returns are standardized: on other data the weights mean something a little
    different at first, which one line says.

    Args:
        trainer: of the new run, at its first update.
        folder: a run or a checkpoint.
        log: receives the lines to print.

    Raises:
        FileNotFoundError: if there is no policy.
        ValueError: if it is of another model or other spaces.
    """
    weights, metadata = load_policy_files(folder)
    _check_fit(trainer, metadata, folder)
    own = {k: v for k, v in trainer.model.state_dict().items() if k.startswith(OF_THE_DATA)}
    for model in (trainer.model, trainer.policy_model):
        model.load_state_dict({**weights, **own})
    what = "weights" if _proposal_from(trainer, folder) else "weights (not the proposal's)"
    log(f"{what} from {folder}, {metadata.task} after {metadata.updates} updates")
    data = trainer.dataset.provenance.fingerprint
    if metadata.provenance.get("fingerprint") != data:
        log("its data were others: observations and returns are standardized by the new ones")


def _check_fit(trainer: Trainer, metadata: PolicyMetadata, folder: Path) -> None:
    if metadata.algorithm != trainer.config.algorithm:
        raise ValueError(
            f"--init-from {folder} is a run of --algorithm {metadata.algorithm}, this one is of "
            f"{trainer.config.algorithm}: give a run of the same"
        )
    if metadata.spaces != trainer.model.spaces:
        raise ValueError(
            f"--init-from {folder} was trained on {metadata.spaces}, the data have "
            f"{trainer.model.spaces}: give a run of the same observations and actions"
        )
    discrete = metadata.spaces.discrete
    own, new = (
        to_tree(replace(c, model=c.model.fitted(discrete)))["model"]
        for c in (metadata.config, trainer.config)
    )
    different = changes({"model": own}, {"model": new})
    if different:
        flags = [f"--{n.replace('_', '-')} {old}" for n, (old, _) in different.items()]
        raise ValueError(f"--init-from {folder} is of another model: pass {' '.join(flags)}")


def _proposal_from(trainer: Trainer, folder: Path) -> bool:
    """Take the proposal network too, where both runs have the same one; returns whether."""
    proposal = getattr(trainer.inference.engine, "proposal", None)
    if proposal is None:
        return True
    try:
        tensors, _ = load_training_state(folder)
        start = "engine.proposal."
        own = {k.removeprefix(start): t for k, t in tensors.items() if k.startswith(start)}
        proposal.network.load_state_dict(own)
    except (FileNotFoundError, RuntimeError):
        return False
    return True
