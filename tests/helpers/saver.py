"""Saves one checkpoint after the other until it is killed: `RUN METADATA.json UPDATES`."""

import dataclasses
import json
import sys
from pathlib import Path

import torch

from lpt.checkpoint import PolicyMetadata
from lpt.checkpoint.files import save_checkpoint


def save(run: str, record: str, made: str) -> None:
    """Save checkpoints of ever more updates, and print each as soon as it is saved."""
    metadata = PolicyMetadata.from_dict(json.loads(Path(record).read_text()))
    updates = int(made)
    while True:
        updates += 1
        big = torch.full((300_000,), float(updates))
        metadata = dataclasses.replace(metadata, updates=updates)
        tensors, values = {"raw": big}, {"updates": updates}
        save_checkpoint(run, updates, {"weight": big}, metadata, tensors, values)
        print(updates, flush=True)


if __name__ == "__main__":
    save(*sys.argv[1:])
