"""bfloat16 and compiled learning: the same loss, the same checkpoints, clear refusals."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from lpt.machine.precision import in_precision
from lpt.training.diagnosis import diagnose
from lpt.training.trainer import Trainer

CPU = torch.device("cpu")
BFLOAT16 = {"precision": "bfloat16"}


def first_update(config, data):
    """The first update's loss and gradient, and the trainer after it."""
    trainer = Trainer(config, data, CPU)
    loss = float(trainer.update()["loss/total"])
    gradient = torch.cat([p.grad.flatten() for p in trainer._parameters() if p.grad is not None])
    return loss, gradient, trainer


def assert_resume_is_exact(config, data):
    whole, broken, resumed = (Trainer(config, data, CPU) for _ in range(3))
    losses = [float(whole.update()["loss/total"]) for _ in range(4)]
    for _ in range(2):
        broken.update()
    tensors, values = broken.state()
    resumed.load_state({name: tensor.clone() for name, tensor in tensors.items()}, values)
    assert [float(resumed.update()["loss/total"]) for _ in range(2)] == losses[2:]


@pytest.mark.parametrize(
    ("algorithm", "engine"), [("lpt", "amortized"), ("lpt", "langevin-paper"), ("bc", "amortized")]
)
def test_bfloat16_agrees_with_float32(make_config, dataset, algorithm, engine):
    """Loss to half a percent, gradient to a few degrees; all that is kept is float32."""
    settings = dict(algorithm=algorithm, engine=engine, model={"width": 32})
    loss, gradient, exact = first_update(make_config(**settings), dataset)
    lower_loss, lower_gradient, lower = first_update(
        make_config(**settings, training=BFLOAT16), dataset
    )
    assert lower_loss == pytest.approx(loss, rel=5e-3) and lower_loss != loss
    cosine = torch.nn.functional.cosine_similarity(gradient, lower_gradient, dim=0)
    assert cosine > 0.995
    tensors, others = lower.state()[0], exact.state()[0]
    assert {n: t.dtype for n, t in tensors.items()} == {n: t.dtype for n, t in others.items()}


def test_bfloat16_learns(make_config, two_behaviors):
    config = make_config(
        engine="amortized",
        updates=40,
        model={"likelihood": "censored", "layers": 1},
        training={"learning_rate": 1e-2, **BFLOAT16},
        posterior={"prior_start": 1.0, "prior_warmup": 0},
        sampler={"batch_trajectories": 24},
    )
    trainer = Trainer(config, two_behaviors, CPU)
    losses = [float(trainer.update()["loss/actions"]) for _ in range(40)]
    assert np.mean(losses[-8:]) < np.mean(losses[:4]) - 0.05
    assert all(np.isfinite(value) for value in diagnose(trainer).values())


def test_bfloat16_resumes_exactly(make_config, dataset):
    config = make_config(engine="amortized", posterior={"steps": 1}, training=BFLOAT16)
    assert_resume_is_exact(config, dataset)


def test_only_products_are_in_bfloat16(make_config, dataset):
    """Likelihoods, plans and the proposal's moments leave in float32."""
    trainer = Trainer(make_config(engine="amortized", training=BFLOAT16), dataset, CPU)
    seen = {}
    trainer.model.generator.head.register_forward_hook(
        lambda module, inputs, output: seen.update(head=output.dtype)
    )
    batch = trainer.batches.sampler.next()
    sample = trainer.infer(batch, 1.0)
    log_actions, log_return = trainer.log_likelihood(sample.z0, batch)
    assert seen["head"] == torch.bfloat16
    floats = (sample.z0, sample.penalty, log_actions, log_return)
    assert {tensor.dtype for tensor in floats} == {torch.float32}


def test_bfloat16_is_refused_where_it_does_not_exist():
    with pytest.raises(ValueError, match=r"needs --device cpu or cuda, not mps"):
        in_precision(torch.sin, "bfloat16", torch.device("mps"))
    assert in_precision(torch.sin, "float32", torch.device("mps")) is torch.sin


def test_compilation_needs_one_shape(make_config, dataset):
    config = make_config(training={"compile": True}, sampler={"segments": 0})
    with pytest.raises(ValueError, match=r"training.compile needs .* set sampler.segments"):
        Trainer(config, dataset, CPU)


@pytest.mark.slow
def test_without_a_compiler_it_says_what_to_install(tmp_path):
    code = (
        "import torch; from lpt.machine.precision import compiled; "
        "compiled(torch.sin, torch.device('cpu'))"
    )
    environment = {
        **os.environ,
        "CXX": "no-such-compiler",
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
    }
    failed = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    last = failed.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: training.compile: torch.compile does not work")
    assert "apt-get install g++" in last


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_compiled_learning_is_the_same_learning(make_config, dataset, precision):
    plain = make_config(engine="amortized", training={"precision": precision})
    config = make_config(engine="amortized", training={"precision": precision, "compile": True})
    loss, gradient, trainer = first_update(plain, dataset)
    compiled_loss, compiled_gradient, other = first_update(config, dataset)
    tolerance = 1e-5 if precision == "float32" else 5e-3
    assert compiled_loss == pytest.approx(loss, rel=tolerance)
    cosine = torch.nn.functional.cosine_similarity(gradient, compiled_gradient, dim=0)
    assert cosine > 1 - tolerance
    assert trainer.state()[0].keys() == other.state()[0].keys()
    trainer.load_state(*other.state())  # either goes on from the other's checkpoint
    assert_resume_is_exact(config, dataset)
