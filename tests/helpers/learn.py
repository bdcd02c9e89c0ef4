"""Three updates of several command lines of lpt-train, in one process of perhaps several.

`python -m helpers.learn COMMANDS.json FOLDER` writes what a checkpoint would keep and the log say.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch

from lpt.config.command_line import parse_config
from lpt.data import load
from lpt.machine.processes import Ranks, join, leave
from lpt.training import Trainer
from lpt.training.diagnosis import diagnose

CPU = torch.device("cpu")


def build(arguments: Sequence[str], ranks: Ranks) -> Trainer:
    """The trainer of a command line of lpt-train."""
    config = parse_config(arguments)
    dataset = load(config.task, config.dataset, config.source, log=lambda text: None)
    return Trainer(config, dataset, CPU, ranks)


def learn(commands: Path, folder: Path) -> int:
    """Write `<processes>-<rank>-<command>.safetensors` and `.json` of every command."""
    ranks = join(CPU)
    for number, arguments in enumerate(json.loads(commands.read_text())):
        trainer = build(arguments, ranks)
        scalars = [trainer.update() for _ in range(3)][-1] | diagnose(trainer)
        tensors, values = trainer.state()
        shared = {k: float(v) for k, v in scalars.items() if not k.startswith("chain/")}
        stem = folder / f"{ranks.count}-{ranks.rank}-{number}"
        safetensors.torch.save_file(tensors, stem.with_suffix(".safetensors"))
        text = json.dumps({"scalars": shared, "sampler": values["sampler"]})
        stem.with_suffix(".json").write_text(text)
    return 0


if __name__ == "__main__":
    leave(learn(*map(Path, sys.argv[1:])))
