"""Statistics against known answers, and the result format."""

import io
import json
import os

import numpy as np
import pytest
from rich.console import Console

from lpt.machine.files import write_json
from lpt.reporting.console import print_evaluations
from lpt.reporting.results import (
    evaluation_record,
    read_results,
    result_name,
    result_record,
    save_result,
)
from lpt.reporting.statistics import bootstrap_interval, iqm


def test_iqm_is_the_mean_of_the_middle_half():
    assert iqm(np.array([1000.0, 1, 2, 3, 4, 5, 6, -1000])) == pytest.approx(3.5)


def test_bootstrap_interval_of_the_mean_is_the_normal_one():
    values = np.random.default_rng(0).normal(10, 3, size=400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std() / np.sqrt(400)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.04)
    assert bootstrap_interval(values) == (low, high)
    assert bootstrap_interval(values, seed=1) != (low, high)


def test_bootstrap_interval_covers_the_spread_of_seeds():
    rng = np.random.default_rng(0)
    runs = [rng.normal(mean, 1, size=50) for mean in (0, 10, 20)]
    low, high = bootstrap_interval(runs)
    pooled = bootstrap_interval(np.concatenate(runs))
    assert low < 1 and high > 19 and high - low > 2 * (pooled[1] - pooled[0])


def test_result_has_the_agreed_fields_and_scores(make_metadata, make_evaluation):
    last = make_evaluation([23.85, 161.86])
    record = json.loads(
        json.dumps(result_record(make_metadata(), "lpt", last, last, wall_seconds=12.0))
    )
    assert {"task", "algorithm", "seed", "env_id", "updates", "wall_seconds"} <= set(record)
    assert record["algorithm"] == "lpt" and record["updates"] == 10
    assert record["data"] == {"source": "regenerated", "fingerprint": "ab" * 32}
    for part in ("last", "best"):
        assert record[part]["returns"] == [23.85, 161.86]
        assert record[part]["score"] == pytest.approx(50)
        assert (record[part]["target"], record[part]["weight"]) == (165.0, 1.0)
        assert record[part]["deterministic"] is True
    assert record["versions"]["training"]["torch"] and record["config"]["planning"]


def test_exploitation_inclined_planning_is_an_algorithm_of_its_own():
    assert result_name("lpt", 1.0) == "lpt" and result_name("lpt", 4.0) == "lpt-ei"
    assert result_name("bc", 4.0) == "bc" and result_name("lpt", 4.0, "wide") == "lpt-ei-wide"


def test_elsewhere_there_is_no_score_but_a_reason(make_evaluation):
    evaluation = make_evaluation([1.0, 2.0], task="hopper-medium", env_id="Walker2d-v4")
    record = evaluation_record(evaluation)
    assert record["score"] is None and "Walker2d-v4" in record["reference"]
    assert record["mean"] == 1.5
    text = printed("hopper-medium", {"last": evaluation})
    assert "Walker2d-v4" in text and "D4RL score" not in text and "1.50" in text


def test_a_score_in_v5_is_marked_as_not_d4rls(make_evaluation):
    evaluation = make_evaluation([3234.3, 3234.3], task="hopper-medium", env_id="Hopper-v5")
    record = evaluation_record(evaluation)
    assert record["score"] == pytest.approx(100.0) and record["exact"] is False
    text = printed("hopper-medium", {"last": evaluation})
    assert "100.0*" in text and "NOT D4RL's metric" in text and "Hopper-v5" in text


def printed(task, rows) -> str:
    console = Console(width=200, file=io.StringIO())
    print_evaluations(task, rows, console)
    return console.file.getvalue()


def test_console_table_prints_the_reference_and_the_ceiling(make_evaluation):
    evaluation = make_evaluation([100.0, 120.0, 130.0])
    text = printed("maze2d-umaze", {"last": evaluation, "best": evaluation})
    assert "23.85" in text and "161.86" in text and "ceiling 143.6" in text
    assert "116.67" in text and "67.3" in text and "last" in text and "best" in text


def test_results_are_not_overwritten_silently(tmp_path, capsys, make_metadata, make_evaluation):
    first, second, third = (make_evaluation([level]) for level in (1.0, 2.0, 3.0))
    path = save_result(tmp_path, make_metadata(), "lpt", first)
    assert path == tmp_path / "maze2d-umaze" / "lpt" / "seed3.json"
    for evaluation in (second, third):
        save_result(tmp_path, make_metadata(), "lpt", evaluation)
    assert "was there already: kept as previous-2-seed3.json" in capsys.readouterr().err
    names = ["previous-1-seed3.json", "previous-2-seed3.json", "seed3.json"]
    assert sorted(os.listdir(path.parent)) == names
    kept = [json.loads((path.parent / name).read_text())["last"]["mean"] for name in names]
    assert kept == [1.0, 2.0, 3.0]
    assert len(read_results(tmp_path)) == 1
    with pytest.raises(FileExistsError, match=r"seed3\.json already exists"):
        write_json({}, path)


def test_nan_is_refused_and_leaves_nothing_behind(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json({"a": float("nan")}, tmp_path / "a.json")
    assert not (tmp_path / "a.json").exists()
