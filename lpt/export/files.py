"""`export_policy`: a policy as ONNX and `torch.export` files, with plans to follow.

FOLDER/
    export.json                     what the files take and give
    plans.npz                       plans for the target, made now: z0, z, predicted_return
    begin.onnx, begin.pt2           a plan to an episode's first state
    step.onnx, step.pt2             an observation and the state to an action and the next state
    prior.onnx, return.onnx, ...    prior noise to a plan, a plan to its return (LPT)
    prompt.onnx, ...                a return asked for to a plan (baselines)
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lpt.checkpoint.metadata import current_versions
from lpt.evaluation.policy import LPTPolicy
from lpt.export.networks import Network, networks
from lpt.machine.files import atomic_folder
from lpt.machine.untrusted import one_line

RECORD = "export.json"
"""The file that says what the others are; every exported folder has one."""


def export_policy(
    policy: LPTPolicy,
    folder: Path | str,
    *,
    target: float | None = None,
    plans: int = 16,
    overwrite: bool = False,
) -> Path:
    """Write a policy for other runtimes; the batch of every input is free.

    Args:
        policy: the policy, on the CPU.
        folder: where to; appears whole or not at all.
        target: return that the plans in `plans.npz` are for, raw units; unset: the policy's.
        plans: how many.
        overwrite: replace an exported folder that is there.

    Raises:
        ModuleNotFoundError: the extra `export` is not installed.
        FileExistsError: `folder` is there and `overwrite` is False, or it is no exported one.
        ValueError: `plans` is below 1, or the target no finite number.
    """
    if find_spec("onnxscript") is None or find_spec("onnx") is None:
        raise ModuleNotFoundError(
            "exporting needs onnx and onnxscript: pip install 'lpt-toolkit[export]'"
        )
    if plans < 1:
        raise ValueError(f"plans={plans}: expected a number of plans, 1 or more")
    plan = policy.plan(target, plans)  # refuses a target before any long work
    with atomic_folder(folder, RECORD, overwrite=overwrite) as made:
        found = networks(policy)
        for network in found:
            _export(network, made)
        np.savez(
            made / "plans.npz",
            z0=plan.z0.cpu().numpy(),
            z=plan.z.cpu().numpy(),
            predicted_return=policy.predicted_returns(plan).astype(np.float32),
        )
        record = _record(policy, found, policy.target if target is None else float(target))
        (made / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return Path(folder)


def _export(network: Network, folder: Path) -> None:
    """Write one network; raises ValueError where this torch cannot, by errors of any type."""
    try:
        _write(network, folder)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(
            f"{network.name} cannot be exported by torch {torch.__version__} and the onnx packages "
            f"beside it ({type(error).__name__}: {one_line(error)}): "
            "pip install -c constraints.txt -e '.[export]' takes versions that can"
        ) from error


def _write(network: Network, folder: Path) -> None:
    """Write one network twice."""
    batch = torch.export.Dim("batch", min=1)
    examples = tuple(network.inputs.values())
    free: Any = tuple({0: batch} for _ in examples)
    if network.name == "step":  # its forward takes the state's entries as one sequence
        free = (free[0], free[1:])
    with _quiet(), torch.no_grad():
        program = torch.export.export(network.module, examples, dynamic_shapes=free)
        torch.export.save(program, folder / f"{network.name}.pt2")
        torch.onnx.export(
            program,
            (),
            folder / f"{network.name}.onnx",
            input_names=list(network.inputs),
            output_names=list(network.outputs),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what exporters say to their own developers from the user."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _record(policy: LPTPolicy, found: list[Network], target: float) -> dict[str, Any]:
    """Return what a user of the files has to know."""
    metadata = policy.metadata
    return {
        "format": 1,
        "task": metadata.task,
        "algorithm": metadata.algorithm,
        "env_id": metadata.env_id,
        "target": target,
        "weight": policy.used_weight(),
        "discrete": policy.spaces.discrete,
        "networks": {
            network.name: {
                "inputs": {name: ["batch", *t.shape[1:]] for name, t in network.inputs.items()},
                "outputs": list(network.outputs),
            }
            for network in found
        },
        "versions": current_versions(),
    }
