"""The model card of a pushed policy: what it is, how to use it, what it earned, on which data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lpt.checkpoint.metadata import PolicyMetadata
from lpt.reporting.results import DISPLAY_NAMES, read_results

_CARD = """# {task}, {algorithm}

A policy of lpt-toolkit {version}: offline reinforcement learning by latent plans, an independent
implementation of the [Latent Plan Transformer](https://arxiv.org/abs/2402.04647). Given a return to
plan for, it infers one plan before the episode and follows it.

```bash
pip install 'lpt-toolkit[hub]'
lpt-eval hf:{name}
```

```python
from lpt import LPTPolicy

policy = LPTPolicy.load("hf:{name}")
policy.reset(target={target:g})  # plans, once an episode
action = policy.act(observation)  # once a step
```

Weights are safetensors and settings JSON: loading runs no code.

## What it is

{facts}

## What it earned

{results}
"""


def model_card(metadata: PolicyMetadata, name: str, run: Path | str) -> str:
    """Return the README.md of a policy on the Hub.

    Args:
        metadata: of the policy.
        name: `USER/NAME` on the Hub.
        run: run folder; the results in it are reported.
    """
    from huggingface_hub import ModelCardData

    header = ModelCardData(
        library_name="lpt-toolkit",
        tags=["reinforcement-learning", "offline-rl", "latent-plan-transformer", metadata.task],
    )
    evaluation = metadata.config.evaluation
    target = evaluation.target
    text = _CARD.format(
        task=metadata.task,
        algorithm=DISPLAY_NAMES.get(metadata.algorithm, metadata.algorithm),
        version=metadata.versions.get("lpt-toolkit"),
        name=name,
        target=metadata.return_quantiles.q99 if target is None else target,
        facts=_table(_facts(metadata)),
        results=_results(Path(run), metadata),
    )
    return f"---\n{header.to_yaml()}\n---\n\n{text}"


def _facts(metadata: PolicyMetadata) -> dict[str, Any]:
    data, quantiles = metadata.provenance, metadata.return_quantiles
    return {
        "task": metadata.task,
        "environment": metadata.env_id or "none",
        "algorithm": f"{metadata.algorithm}, engine {metadata.config.engine}",
        "training": f"{metadata.updates} updates, seed {metadata.seed}",
        "data": f"{data.get('id')} ({data.get('source')}), fingerprint {data.get('fingerprint')}",
        "returns in the data": f"median {quantiles.median:g}, 99 % {quantiles.q99:g}, "
        f"best {quantiles.maximum:g}",
        "spaces": f"{metadata.spaces.observation_dim} observations, {metadata.spaces.action_dim} "
        + ("discrete actions" if metadata.spaces.discrete else "continuous actions"),
        "written with": ", ".join(f"{k} {v}" for k, v in metadata.versions.items()),
    }


def _table(facts: dict[str, Any]) -> str:
    rows = [f"| {name} | {str(value).replace('|', '/')} |" for name, value in facts.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _results(run: Path, metadata: PolicyMetadata) -> str:
    """Return the last checkpoint's results in `run/results`, or a word that there are none."""
    folder = run / "results"
    if not list(folder.glob("**/seed*.json")):
        return "No results lie beside this policy: evaluate it with the command above."
    records = [r for r in read_results(folder) if r["last"]["updates"] == metadata.updates]
    rows = ["| plans | asked for | episodes | mean return, 95 % | score |", "|---|---|---|---|---|"]
    for record in records:
        last = record["last"]
        low, high = last["ci95"]
        score = "" if last.get("score") is None else f"{last['score']:.1f} ({last['reference']})"
        name = DISPLAY_NAMES.get(record["algorithm"], record["algorithm"])
        rows.append(
            f"| {name} | {last['target']:g} | {last['episodes']} | {last['mean']:.2f} "
            f"({low:.2f} to {high:.2f}) | {score} |"
        )
    return "\n".join(rows)
