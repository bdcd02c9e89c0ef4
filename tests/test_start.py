"""A training begins without loading what it does not need yet, and its optimizer is PyTorch's."""

import subprocess
import sys

import pytest
import torch
from helpers.runs import flags

from lpt.machine import optimizers

BEGIN = """
import sys
from lpt.config.command_line import parse_config
from lpt.training import start
run = start(parse_config(sys.argv[1:]), log=lambda text: None)
run.trainer.update()
run.save()
print({'torch._dynamo', 'sympy', 'matplotlib', 'numba', 'wandb'} & set(sys.modules))
"""


def test_a_training_begins_without_compiler_and_figures(umaze, tmp_path):
    command = [sys.executable, "-c", BEGIN, *flags(umaze, tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("name", ["Adam", "AdamW"])
def test_an_uncompiled_optimizer_computes_and_remembers_the_same(name):
    torch.manual_seed(0)
    start, pull = torch.randn(5, 3), torch.randn(5, 3)
    found = []
    for kind in (getattr(torch.optim, name), getattr(optimizers, name)):
        weight = start.clone().requires_grad_()
        optimizer = kind([weight], lr=0.1, weight_decay=0.1, fused=True)
        for _ in range(3):
            optimizer.zero_grad()
            (weight * pull).square().sum().backward()
            optimizer.step()
        other = kind([weight], lr=0.5, fused=True)
        other.load_state_dict(optimizer.state_dict())
        (slots,) = other.state_dict()["state"].values()
        found.append([weight.detach(), *slots.values(), torch.tensor(other.param_groups[0]["lr"])])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_an_uncompiled_step_leaves_no_graph():
    weight = torch.ones(2, requires_grad=True)
    optimizer = optimizers.AdamW([weight])
    weight.sum().backward()
    optimizer.step()
    assert weight.is_leaf and weight.grad is not None and isinstance(optimizer, torch.optim.AdamW)
