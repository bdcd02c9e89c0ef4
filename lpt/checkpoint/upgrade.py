"""Checkpoints of format 1 (version 0.1), read as format 2."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lpt.config import upgrade

_QUANTILES = ("minimum", "q10", "median", "q90", "q99", "maximum")
_WEIGHTS = {"remembered": "remembered.plans", "remembered_count": "remembered.count"}


def policy_record(record: dict[str, Any]) -> dict[str, Any]:
    """Return a `policy.json` of format 1 under the present names."""
    new = {("updates" if key == "step" else key): value for key, value in record.items()}
    if isinstance(new.get("return_quantiles"), list):
        new["return_quantiles"] = dict(zip(_QUANTILES, new["return_quantiles"], strict=False))
    if isinstance(new.get("config"), dict):
        own = {key: record[key] for key in ("task", "algorithm", "seed") if key in record}
        new["config"] = {**own, **upgrade(new["config"])}
    return new


def weights(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a `policy.safetensors` of format 1 under the present names."""
    return {_WEIGHTS.get(name, name): tensor for name, tensor in tensors.items()}


def training_state(
    tensors: dict[str, Tensor], values: dict[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and JSON of a training state of format 1 under the present names."""
    if "step" not in values:
        return tensors, values
    new = {_training_name(name): tensor for name, tensor in tensors.items()}
    values = dict(values)
    values["updates"] = values.pop("step")
    values["best_updates"] = values.pop("best_step", None)
    count = values.pop("preconditioner_updates", None)
    if count:
        new["engine.preconditioner.updates"] = torch.tensor(count)
    else:  # only one engine has any
        new.pop("engine.preconditioner.mean_square", None)
    proposes = any(name.startswith("engine.proposal.") for name in new)
    if proposes or len(new.get("engine.chains.index", ())) == 0:  # nor has every engine chains
        new = {name: t for name, t in new.items() if not name.startswith("engine.chains.")}
    return new, values


def _training_name(name: str) -> str:
    group, _, rest = name.partition(".")
    if name == "preconditioner":
        return "engine.preconditioner.mean_square"
    if group in ("posterior", "chains"):
        return f"engine.{rest}" if group == "posterior" else f"engine.chains.{rest}"
    if group == "model":
        return f"model.{_WEIGHTS.get(rest, rest)}"
    if group == "average" and rest.startswith("module."):
        inner = rest.removeprefix("module.")
        return f"average.module.{_WEIGHTS.get(inner, inner)}"
    return name
