"""An update as one CUDA graph: nothing in it waits for the device, and buffers change nothing."""

from dataclasses import dataclass, replace

import pytest
import torch
from helpers.tape import Taped
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lpt.algorithms import latent_plan
from lpt.inference.chains import Chains
from lpt.inference.noise import SharedNoise
from lpt.machine.graphs import WARM_UP, Recorded, leaves, mapped
from lpt.machine.processes import Ranks
from lpt.training import trainer as trainer_module
from lpt.training.diagnosis import diagnose
from lpt.training.recording import obstacle
from lpt.training.trainer import Trainer

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
OWN = {"trajectories": 5, "segments": 4, "segment_steps": 3, "warmup": 1}
KINDS = {
    "amortized": {},
    "amortized, corrected": {"posterior": {"steps": 2, "corrected": True, "metric": "proposal"}},
    "langevin": {"engine": "langevin", "training": {"observation_noise": 0.1}},
    "langevin-paper": {"engine": "langevin-paper", "model": {"remembered_plans": 32}},
    "own batches": {"engine": "langevin", "posterior": OWN},
    "an end's view": {"proposal": {"view": "end"}, "model": {"dropout": 0.1}},
    "history dropped": {"training": {"history_dropout": 0.5, "history_dropout_updates": 3}},
    "bfloat16": {"training": {"precision": "bfloat16"}},
    "bc": {"algorithm": "bc"},
    "dt-final": {"algorithm": "dt-final"},
}
WAITS = {"_local_scalar_dense", "is_nonzero", "equal"}
"""Operations that hand what a tensor holds to the host."""
SIZED = {"nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive"}
"""Operations whose result has a size that depends on what a tensor holds."""


class NoWaiting(TorchDispatchMode):
    """Refuses what a device would have to be waited for."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        assert name not in WAITS | SIZED, f"{name} waits for the device"
        if name in ("index", "index_put", "index_put_"):
            masks = [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)]
            assert not masks, f"{name} by a mask waits for the device"
        return func(*args, **(kwargs or {}))


def run(config, data, updates=6):
    trainer = Trainer(config, data, CPU)
    losses = [float(trainer.update()["loss/total"]) for _ in range(updates)]
    return trainer, losses


def assert_close(one, two, rtol=1e-5, atol=1e-6):
    (tensors, values), (others, other_values) = one.state(), two.state()
    assert values == other_values and tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        torch.testing.assert_close(
            others[name], tensor, rtol=rtol, atol=atol, msg=lambda text, name=name: name + text
        )


def assert_learned_alike(one, two, began):
    """Weights differ by at most a fiftieth of how far they have moved.

    As a whole: what has no gradient but rounding, such as a bias of keys, Adam moves as it likes.
    """
    moved = torch.cat([(w - start).flatten() for w, start in zip(one, began, strict=True)])
    apart = torch.cat([(a - b).flatten() for a, b in zip(one, two, strict=True)])
    assert float(apart.norm() / moved.norm()) < 0.02


def weights(trainer):
    return [w.detach().clone() for w in trainer.model.parameters()]


@pytest.fixture
def in_buffers(monkeypatch):
    """Updates as on a GPU, but for the graph: inputs in buffers, scalars as tensors."""
    monkeypatch.setattr(trainer_module, "records_updates", lambda *given: True)


@pytest.mark.parametrize("wait", [Tensor.item, float, bool, Tensor.nonzero, lambda x: x[x > 0]])
def test_what_waits_is_noticed(wait):
    with NoWaiting(), pytest.raises(AssertionError, match="waits for the device"):
        wait(torch.ones(1))


@pytest.mark.parametrize("kind", KINDS)
def test_an_update_never_waits_for_the_device(kind, make_config, dataset, in_buffers, monkeypatch):
    trainer = Trainer(make_config(**KINDS[kind]), dataset, CPU)
    trainer.update()
    given = trainer._next_inputs()
    scalars = {name: torch.tensor(getattr(given, name)) for name in ("prior_weight", "share")}
    given = replace(given, **scalars)
    # As on a GPU: only on a CPU, where that costs no wait, are numbers looked at.
    monkeypatch.setattr(Chains, "rows", lambda self, index: index // self.shard[1])
    with NoWaiting():
        told = trainer._learn(given)
    assert all(isinstance(value, Tensor | float) for value in told.values())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bfloat16"])
def test_an_accelerators_branches_never_wait_either(kind, make_config, dataset, monkeypatch):
    """On the device `meta`, which is no CPU and has no generators: shapes only, nothing to read."""
    plain = torch.Generator
    anywhere = type("", (plain,), {"__new__": lambda cls, device=None: plain.__new__(plain)})
    monkeypatch.setattr(torch, "Generator", anywhere)
    monkeypatch.setattr(SharedNoise, "share", lambda self, rows, total: None)
    monkeypatch.setattr(
        SharedNoise, "_cut", lambda self, draw, like: draw(like.shape, device=like.device)
    )
    monkeypatch.setattr(latent_plan, "_lasting", lambda device: device)
    settings = {**KINDS[kind], "model": {**KINDS[kind].get("model", {}), "context": 24}}
    trainer = Trainer(make_config(**settings), dataset, torch.device("meta"))
    trainer.optimizer.step = lambda: None  # on a GPU it is fused
    given = trainer._next_inputs()
    scalars = {name: torch.tensor(getattr(given, name)) for name in ("prior_weight", "share")}
    with NoWaiting():
        told = trainer._learn(replace(given, **scalars).to(trainer.device))
    assert told["loss/total"].device.type == "meta"


@pytest.mark.parametrize("kind", KINDS)
def test_updates_in_buffers_are_the_same_updates(kind, make_config, dataset, monkeypatch):
    config = make_config(**KINDS[kind])
    plain, losses = run(config, dataset)
    monkeypatch.setattr(trainer_module, "records_updates", lambda *given: True)
    buffered, others = run(config, dataset)
    assert plain._recorded is None and buffered._recorded is not None
    assert others == pytest.approx(losses, rel=1e-5)
    written = Trainer(config, dataset, CPU)
    assert_learned_alike(weights(plain), weights(buffered), weights(written))
    with written.unrecorded():  # its rate too lies on the device
        for _ in range(6):
            written.update()
    assert_close(written, buffered)


@pytest.mark.parametrize("kind", KINDS)
def test_updates_played_again_are_the_same_updates(kind, make_config, dataset, in_buffers):
    """As a graph would: nothing of an update may have been a number when it was recorded."""
    config = make_config(**KINDS[kind])
    written = Trainer(config, dataset, CPU)
    with written.unrecorded():
        losses = [float(written.update()["loss/total"]) for _ in range(10)]
    played = Trainer(config, dataset, CPU)
    played._recorded = Taped(played._learn, CPU)
    played._recorded._refused = False
    assert [float(played.update()["loss/total"]) for _ in range(10)] == pytest.approx(losses)
    assert played._recorded.replays >= 2
    assert_close(written, played)


def test_a_number_that_was_recorded_is_noticed():
    def told(pair):
        return {"read": (pair.x * pair.scale).sum(), "fixed": (pair.x * float(pair.scale)).sum()}

    taped = Taped(told, CPU)
    taped._refused = False
    found = [taped(Pair(torch.ones(2), None, float(scale))) for scale in range(WARM_UP + 2)]
    assert [float(one["read"]) for one in found] == [0, 2, 4, 6, 8]
    assert [float(one["fixed"]) for one in found] == [0, 2, 4, 6, 6]


def test_updates_in_buffers_go_on_from_a_checkpoint_of_plain_ones_and_back(
    make_config, dataset, through_files, in_buffers
):
    config = make_config(engine="langevin")
    whole, _ = run(config, dataset, 6)
    half, _ = run(config, dataset, 3)
    resumed, _ = run(config, dataset, 1)
    resumed.load_state(*through_files(half))
    for _ in range(3):
        resumed.update()
    assert_close(whole, resumed, rtol=0, atol=0)
    with whole.unrecorded():
        whole.update()
    resumed.update()
    assert_close(whole, resumed)


@dataclass(frozen=True)
class Pair:
    """Some inputs."""

    x: Tensor
    y: Tensor | None
    scale: float | Tensor


def test_inputs_are_leaves_of_dataclasses():
    pair = Pair(torch.ones(2), None, 3.0)
    assert [type(leaf) for leaf in leaves(pair)] == [Tensor, float]
    doubled = mapped(pair, lambda leaf: 2 * leaf)
    assert doubled.y is None and doubled.scale == 6.0 and doubled.x.tolist() == [2.0, 2.0]


def test_buffers_stay_until_inputs_are_of_another_kind():
    seen = []

    def double(pair):
        seen.append(pair)
        return {"sum": (pair.x * pair.scale).sum(), "always": 1.0}

    recorded = Recorded(double, CPU)
    for size, phase in ((2, "a"), (2, "a"), (3, "a"), (3, "b")):
        given = Pair(torch.full((size,), 2.0), None, float(size))
        told = recorded(given, phase=phase)
        assert told == {"sum": 2.0 * size * size, "always": 1.0}
    assert seen[0] is seen[1] and len({id(pair) for pair in seen}) == 3
    assert recorded.replays == 0  # a CPU has no graphs


@pytest.mark.parametrize("wanted", ["auto", "never"])
def test_a_cpu_records_nothing(make_config, dataset, wanted, capsys):
    trainer = Trainer(make_config(training={"cuda_graph": wanted}), dataset, CPU)
    assert trainer._recorded is None and capsys.readouterr().out == ""
    assert isinstance(trainer.optimizer.param_groups[0]["lr"], float)


def test_what_cannot_be_recorded_is_said(make_config, dataset, discrete_dataset):
    with pytest.raises(ValueError, match=r"cuda_graph=always: graphs need --device cuda, not cpu"):
        Trainer(make_config(training={"cuda_graph": "always"}), dataset, CPU)
    config, engine = make_config(), Trainer(make_config(), dataset, CPU).inference.engine
    assert obstacle(config, dataset, CUDA, Ranks(), engine) is None
    assert "several processes" in obstacle(config, dataset, CUDA, Ranks(0, 2), engine)
    whole = make_config(sampler={"segments": 0})
    assert "vary in length" in obstacle(whole, dataset, CUDA, Ranks(), engine)
    for name in ("variational", "preconditioned"):
        other = make_config(engine=name)
        engine = Trainer(other, dataset, CPU).inference.engine
        assert name in obstacle(other, dataset, CUDA, Ranks(), engine)


@on_gpu
@pytest.mark.parametrize("kind", KINDS)
def test_recorded_updates_are_the_same_updates(kind, make_config, dataset):
    """20 updates, with a diagnosis between: losses to 1e-3 (bfloat16: 1e-2), weights as above."""
    config, losses, ends = make_config(**KINDS[kind]), [], []
    for wanted in ("never", "always"):
        training = replace(config.training, cuda_graph=wanted)
        trainer = Trainer(replace(config, training=training), dataset, CUDA)
        began, told = weights(trainer), []
        for update in range(20):
            told.append(trainer.update()["loss/total"])
            if update == 10:
                diagnose(trainer)
        losses.append([float(loss) for loss in told])
        ends.append(weights(trainer))
    assert trainer._recorded.replays >= 10
    assert losses[1] == pytest.approx(losses[0], rel=1e-2 if kind == "bfloat16" else 1e-3)
    assert_learned_alike(*ends, began)


@on_gpu
def test_recorded_updates_resume(make_config, dataset, through_files):
    config = make_config(engine="langevin", training={"cuda_graph": "always"})
    whole, half, resumed = (Trainer(config, dataset, CUDA) for _ in range(3))
    began = weights(whole)
    for _ in range(20):
        whole.update()
    for _ in range(10):
        half.update()
    for _ in range(5):
        resumed.update()  # a graph of its own, to be dropped
    tensors, values = through_files(half)
    resumed.load_state(tensors, values)
    for _ in range(10):
        resumed.update()
    assert whole._recorded.replays == 20 - WARM_UP
    assert_learned_alike(weights(whole), weights(resumed), began)
    (_, values), (_, others) = whole.state(), resumed.state()
    assert values == others


@on_gpu
def test_what_waits_is_not_recorded_and_goes_on_all_the_same():
    said, generator = [], torch.Generator(CUDA).manual_seed(0)

    def waits(pair):
        noise = torch.randn(2, generator=generator, device=CUDA) + torch.rand(2, device=CUDA)
        return {"sum": (pair.x * float(pair.scale)).sum(), "noise": noise.sum()}

    recorded = Recorded(waits, CUDA, [generator], said.append)
    for _ in range(WARM_UP + 3):
        assert float(recorded(Pair(torch.ones(2), None, 3.0))["sum"]) == 6.0
    assert recorded.replays == 0 and len(said) == 1 and "not recorded" in said[0]
