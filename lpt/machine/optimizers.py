"""PyTorch's optimizers without its compiler, whose import takes longer than many a run's start."""

from __future__ import annotations

import inspect
from typing import TypeVar

import torch

Kind = TypeVar("Kind", bound=torch.optim.Optimizer)

_MARKED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
"""Methods that PyTorch marks as none to compile, by its compiler."""


def uncompiled(kind: type[Kind]) -> type[Kind]:
    """Return a kind of optimizer that computes the same, and is nothing for `torch.compile`.

    An optimizer's methods load the compiler (`torch._dynamo`, two seconds of a processor) only to
    tell it to leave them alone. Here no optimizer is compiled, so the bare methods do.
    """
    own = {name: inspect.unwrap(getattr(kind, name)) for name in _MARKED}
    step = torch.no_grad()(inspect.unwrap(kind.step))
    return type(kind.__name__, (kind,), {**own, "step": step})


AdamW = uncompiled(torch.optim.AdamW)
"""As `torch.optim.AdamW`."""
Adam = uncompiled(torch.optim.Adam)
"""As `torch.optim.Adam`."""
