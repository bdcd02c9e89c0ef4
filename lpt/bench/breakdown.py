"""Where an update's time goes, and how much of the machine's matrix products it uses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from lpt.bench.amounts import Amounts
from lpt.bench.machine import matrix_peak, seconds_per_call, summary
from lpt.bench.profiling import Methods, clocked
from lpt.training.run import Run
from lpt.training.trainer import Trainer


def split_update(trainer: Trainer, amounts: Amounts) -> dict[str, Any]:
    """Milliseconds an update by part, in updates of their own whose parts are waited for.

    `data` draws the batches, `posterior` infers plans (a proposal's backward pass is learning's),
    `learning` is everything else.
    """
    methods: Methods = {
        "data": [(trainer.batches, "to_infer"), (trainer.batches, "to_learn")],
        "posterior": [(trainer.inference, "look"), (trainer.inference, "infer")]
        if trainer.inference.engine
        else [],
    }
    parts: dict[str, list[float]] = {"data": [], "posterior": [], "learning": []}
    for _ in range(amounts.repeats):
        made = trainer.updates
        with trainer.unrecorded(), clocked(methods, trainer.device) as seconds:
            whole = seconds_per_call(trainer.update, trainer.device, amounts.seconds)
        updates = trainer.updates - made
        clocks = {name: sum(found) / updates for name, found in seconds.items()}
        for name, found in clocks.items():
            parts[name].append(1000 * found)
        parts["learning"].append(1000 * (whole - sum(clocks.values())))
    return {name: summary(values) for name, values in parts.items()}


class _MatrixWork(TorchDispatchMode):
    """Counts by PyTorch's formulas; its FlopCounterMode breaks on autograd.grad of a leaf."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=out)
        return out


def count_flops(run: Run, update_ms: float, amounts: Amounts) -> dict[str, Any]:
    """Count an update's matrix work and measures what this machine can do in its precision.

    Args:
        run: whose configuration and data an update of a new trainer is counted with.
        update_ms: measured milliseconds of an update.
        amounts: repeats; a matrix product's last a quarter of `amounts.seconds`.

    Returns:
        `per_update` and `per_second` (achieved), `matrix_peak` (`matrix_peak`), and
        `roofline_share`, achieved over peak.
    """
    config, device = run.config, run.trainer.device
    plain = replace(config, training=replace(config.training, compile=False, cuda_graph="never"))
    trainer = Trainer(plain, run.trainer.dataset, device)
    # Fused attention is not counted on a CPU; written out it is the same products.
    with sdpa_kernel(SDPBackend.MATH), _MatrixWork() as work:
        trainer.update()
    count = work.flops
    peak = matrix_peak(config.training.precision, device, amounts.repeats, amounts.seconds / 4)
    achieved = 1000 * count / update_ms
    return {
        "per_update": count,
        "per_second": achieved,
        "matrix_peak": peak,
        "roofline_share": achieved / peak["flops"]["median"],
    }
