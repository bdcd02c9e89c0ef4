"""scripts/gpu.py: a trial of tiny sizes goes through every part and saves after each."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "scripts" / "gpu.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("gpu", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu"]


def test_a_trial_goes_through_every_part(script, tmp_path, capsys):
    script.main(tmp_path, smoke=True, device="cpu")
    record = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert "say nothing of a GPU" in record["figures"] and "say nothing" in capsys.readouterr().out
    assert len(record["parts"]) == 7
    assert not {name: part["failed"] for name, part in record["parts"].items() if "failed" in part}
    for name in ("numerics, preset", "numerics, paper's sizes"):
        part, same = record["parts"][name], {"loss": 0.0, "weights": 0.0}
        assert part["apart"] == same == part["apart_after_resuming"]  # a CPU records nothing
    trained = record["parts"]["training, preset"]
    assert trained["eager"]["transitions_per_second"]["median"] > 0
    assert trained["eager"]["profile"]["operations"] > 100
    with pytest.raises(FileExistsError, match=r"gpu\.json"):
        script.main(tmp_path, smoke=True, device="cpu")


def test_what_fails_or_comes_too_late_leaves_the_rest(script, tmp_path, monkeypatch):
    session = script.Session(tmp_path / "gpu.json", torch.device("cpu"), True, 0.0)
    session.record.update(said=[], parts={})
    with session.part("broken") as found:
        found["before"] = 1
        raise RuntimeError("no such kernel")
    record = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert record["parts"]["broken"]["failed"] == "RuntimeError: no such kernel"
    assert record["parts"]["broken"]["before"] == 1
    script.main(tmp_path, smoke=True, device="cpu", minutes=0, overwrite=True)
    record = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert all("left_out" in part for part in record["parts"].values())
