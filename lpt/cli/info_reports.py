"""What `lpt-info` says of a machine, and of a run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from minari.storage import get_dataset_path

from lpt.checkpoint.files import list_checkpoints, load_policy_files
from lpt.checkpoint.metadata import PolicyMetadata, current_versions
from lpt.checkpoint.places import shipped
from lpt.config import preset_folder
from lpt.data.sources.folders import d4rl_folder, data_folder
from lpt.machine.untrusted import parsing, short
from lpt.reporting.curve import NAME, Point, read_curve
from lpt.reporting.results import read_results

_VARIABLES = (
    *("D4RL_DATASET_DIR", "LPT_DATA_DIR", "LPT_D4RL_URL", "LPT_OFFLINE", "MINARI_DATASETS_PATH"),
    *("MINARI_REMOTE", "WANDB_MODE"),
)


def machine_report() -> dict[str, str]:
    """Return versions, devices, folders and the variables that change them, by name."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    gpus += ["mps"] * torch.backends.mps.is_available()
    cpu = f"{os.cpu_count()} CPUs ({torch.backends.cpu.get_cpu_capability()})"
    given = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return {
        **current_versions(),
        "devices": ", ".join([cpu, *gpus]),
        "regenerated data": str(data_folder()),
        "D4RL's data": str(d4rl_folder()),
        "Minari's data": str(get_dataset_path()),
        "presets": str(preset_folder()),
        "pretrained": ", ".join(f"pretrained:{name}" for name in shipped()) or "none",
        "variables": " ".join(f"{name}={value}" for name, value in given.items()) or "none set",
    }


def run_report(run: Path) -> dict[str, str]:
    """Return what a run is, how it went and what to do next, by name.

    Raises:
        FileNotFoundError: if there is no policy; says what is there.
    """
    weights, metadata = load_policy_files(run)
    config, data = metadata.config, metadata.provenance
    quantiles = metadata.return_quantiles
    target = quantiles.q99 if config.evaluation.target is None else config.evaluation.target
    size = sum(t.numel() for name, t in weights.items() if not name.startswith("remembered"))
    report = {
        "task": f"{metadata.task} (settings: {config.preset or 'its own'})",
        "algorithm": f"{metadata.algorithm}, engine {config.engine}, seed {metadata.seed}",
        "updates": f"{metadata.updates} of {config.updates}",
        "model": f"{size:,} numbers; {metadata.spaces}",
        "data": f"{data.get('id')} ({data.get('source')}), {str(data.get('fingerprint'))[:12]}",
        "returns": f"median {quantiles.median:g}, 99 % {quantiles.q99:g}, best "
        f"{quantiles.maximum:g}",
        "environment": metadata.env_id or "none: pass --env-id to lpt-eval",
        "plans for": f"a return of {target:g} by {config.planning.method}, w = "
        f"{config.planning.weight:g}",
        "written by": f"lpt-toolkit {metadata.versions.get('lpt-toolkit')}, torch "
        f"{metadata.versions.get('torch')}",
    }
    checkpoints = [folder.name for folder in list_checkpoints(run)]
    if checkpoints:
        best = " and best" if (run / "best").is_dir() else ""
        report["checkpoints"] = ", ".join(checkpoints) + best
    return {**report, **_history(run), "next": _next(run, metadata)}


def _history(run: Path) -> dict[str, str]:
    """Return the last evaluations on the way, and the results."""
    report = {}
    curve, results = run / NAME, run / "results"
    with parsing(f"{curve} or a file in {results} is damaged", "Remove it."):
        if curve.is_file():
            report["evaluated"] = ", ".join(map(_point, read_curve(run)[-5:]))
        if list(results.glob("**/seed*.json")):
            for record in read_results(results):
                report[f"result {short(record['algorithm'])}"] = _result(record["last"])
    return report


def _point(point: Point) -> str:
    mean = sum(point.returns) / len(point.returns)
    return f"{mean:.1f} after {point.updates}"


def _result(last: dict[str, Any]) -> str:
    score = last.get("score")
    end = "" if score is None else f", score {score:.1f}"
    return (
        f"return {last['mean']:.2f} in {last['episodes']} episodes, asked for "
        f"{last['target']:g}{end}"
    )


def _next(run: Path, metadata: PolicyMetadata) -> str:
    if list_checkpoints(run) and metadata.updates < metadata.config.updates:
        return f"lpt-train --resume {run}"
    return f"lpt-eval {run}" + (" --sweep" if metadata.config.evaluation.sweep else "")
