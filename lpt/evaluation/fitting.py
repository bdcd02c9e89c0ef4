"""Whether a checkpoint's weights are those of the model that it describes, before that is built."""

from __future__ import annotations

import torch
from torch import Tensor

from lpt.algorithms import find_algorithm
from lpt.checkpoint.metadata import PolicyMetadata
from lpt.machine.untrusted import one_line


def check_weights(weights: dict[str, Tensor], metadata: PolicyMetadata, where: str) -> None:
    """Compare names and shapes with a model of no size, and refuse weights that are not finite.

    What a policy.json asks for is so never allocated unless the file of weights holds as much.

    Raises:
        ValueError: the weights are of another model, or not finite.
    """
    expected = _shapes(metadata, len(weights), where)
    found = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    wrong = [name for name in {**expected, **found} if expected.get(name) != found.get(name)]
    if wrong:
        name = wrong[0]
        details = f"{name} is {_shape(found.get(name))}, expected {_shape(expected.get(name))}"
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise ValueError(_unfitting(where, f"{details}{more}"))
    for name, tensor in weights.items():
        if tensor.is_complex() or not bool(tensor.float().isfinite().all()):
            raise ValueError(
                f"{where}: the weight {name} has entries that are no finite numbers: training had "
                "diverged; use an earlier checkpoint of the run"
            )


def _shapes(metadata: PolicyMetadata, tensors: int, where: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the model's weights by name, without memory for them."""
    config = metadata.config.model
    if max(config.layers, len(config.prior_multipliers)) > tensors:
        raise ValueError(_unfitting(where, f"{config.layers} layers in {tensors} tensors"))
    try:
        with torch.device("meta"):
            model = find_algorithm(metadata.algorithm).build(config, metadata.spaces)
    except (RuntimeError, TypeError, IndexError, ValueError) as error:
        raise ValueError(_unfitting(where, one_line(error))) from error
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _unfitting(where: str, details: str) -> str:
    return (
        f"{where}: the weights do not fit the model that policy.json describes; use another "
        f"checkpoint of the run. {details}"
    )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else str(list(shape))
