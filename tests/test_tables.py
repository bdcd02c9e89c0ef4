"""The Markdown tables are made from the result files and say what is in them."""

import json

import pytest

from lpt.reporting.results import read_data_returns, read_results, save_result
from lpt.reporting.tables import markdown_table, summary_table

UMAZE = "lpt_envs:lpt/Maze2D-umaze-v1"


def test_table_is_made_from_the_files(tmp_path, make_metadata, make_evaluation):
    for seed, level in enumerate((92.855, 161.86)):
        evaluation = make_evaluation([level - 10, level + 10])
        save_result(tmp_path, make_metadata(seed=seed), "lpt", evaluation, evaluation)
    mine = make_metadata(task="corridor", env_id="my:Corridor-v0", seed=0)
    evaluation = make_evaluation([5.0, 6.0], task="corridor", env_id="my:Corridor-v0")
    save_result(tmp_path, mine, "bc", evaluation)
    scored, raw = (
        table.splitlines() for table in markdown_table(read_results(tmp_path)).split("\n\n")
    )
    for table in (scored, raw):
        assert len(table) == 3 and len({line.count("|") for line in table}) == 1
    assert "D4RL score, last" in scored[0] and "return, last" in raw[0]
    assert "| maze2d-umaze | lpt | 10 | 165, 1 | 2 x 2 | 75.0 ± 35.4 |" in scored[2]
    assert "| 144 |" in scored[2]
    assert "| corridor | bc |" in raw[2] and "| 5.500 |" in raw[2]


def test_unreadable_results_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no results/<task>/<algorithm>"):
        read_results(tmp_path)
    (tmp_path / "seed0.json").write_text("{")
    with pytest.raises(ValueError, match=r"seed0.json is not JSON"):
        read_results(tmp_path)
    (tmp_path / "seed0.json").write_text('{"task": "a", "data": {}}')
    with pytest.raises(ValueError, match=r"seed0.json lacks algorithm, seed, last"):
        read_results(tmp_path)


def test_summary_has_a_row_a_task_and_a_column_an_algorithm(
    tmp_path, make_metadata, make_evaluation
):
    for seed, level in enumerate((92.855, 161.86)):
        save_result(tmp_path, make_metadata(seed=seed), "lpt", make_evaluation([level, level]))
    save_result(tmp_path, make_metadata(), "bc-10", make_evaluation([23.85]))
    save_result(tmp_path, make_metadata(), "bc-10-wide", make_evaluation([99.0]))
    mine = make_metadata(task="corridor", env_id="my:Corridor-v0", seed=0)
    evaluation = make_evaluation([5.0, 6.0], task="corridor", env_id="my:Corridor-v0")
    save_result(tmp_path, mine, "dt", evaluation)
    records = read_results(tmp_path)
    head, _, corridor, maze = summary_table(records).splitlines()
    assert head == "| task | LPT | 10%BC | DT, step-wise |"
    assert corridor == "| corridor |  |  | 5.500 |"
    assert maze == "| maze2d-umaze | 75.0 ± 35.4 (2) | 0.0 |  |"
    own = {"mean": 23.85, "q90": 92.855, "best": 161.86}
    data = {records[0]["data"]["fingerprint"]: own}
    head, _, corridor, maze = summary_table(records, data).splitlines()
    assert head.endswith("| data: mean / 90 % / best |")
    assert corridor.endswith("| 5.500 | 23.9 / 92.9 / 161.9 |")
    assert maze.endswith("|  | 0.0 / 50.0 / 100.0 |")
    other = {"of other data": own}
    assert summary_table(records, other).splitlines()[3].endswith("|  |  |")


def test_what_data_earn_is_read_from_every_record_of_sets(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    own = {"fingerprint": "a1", "mean": 1, "q90": 2.5, "best": 3, "steps": 9}
    (folder / "plain.json").write_text(json.dumps({"mine": own, "games": {"fingerprint": "b2"}}))
    (folder / "sets.json").write_text(
        json.dumps({"commit": "c", "sets": {"x": {**own, "fingerprint": "d4"}}})
    )
    told = {"mean": 1.0, "q90": 2.5, "best": 3.0}
    assert read_data_returns(tmp_path) == {"a1": told, "d4": told}
    (folder / "other.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"other\.json says nothing of data .*lpt-report data"):
        read_data_returns(tmp_path)


def test_results_on_other_data_or_in_another_environment_are_not_averaged(
    tmp_path, make_metadata, make_evaluation
):
    runs = [("d4rl", UMAZE), ("regenerated", UMAZE), ("regenerated", "my:Maze-v0")]
    for seed, (source, env_id) in enumerate(runs):
        metadata = make_metadata(seed=seed, env_id=env_id, provenance={"source": source})
        evaluation = make_evaluation([161.86], env_id=env_id)
        save_result(tmp_path, metadata, "lpt", evaluation)
    records = read_results(tmp_path)
    scored, raw = (table.splitlines() for table in markdown_table(records).split("\n\n"))
    assert [line.split(" | ")[0] for line in (*scored[2:], *raw[2:])] == [
        "| maze2d-umaze (d4rl data)",
        "| maze2d-umaze (regenerated data)",
        "| maze2d-umaze in my:Maze-v0 (regenerated data)",
    ]
    assert all("| 1 x 1 | 100.0 |" in line for line in scored[2:]) and "161.9" in raw[2]
    assert "| d4rl | recorded | resets from 1000 |" in scored[2]
    assert "| regenerated | recorded | resets from 1000 |" in scored[3]
    assert len(summary_table(records).splitlines()) == 5


def test_scores_in_v5_stand_in_a_table_of_their_own(tmp_path, make_metadata, make_evaluation):
    for env_id in ("Hopper-v4", "Hopper-v5"):
        evaluation = make_evaluation([3234.3], task="hopper-medium", env_id=env_id)
        metadata = make_metadata(task="hopper-medium", env_id=env_id)
        save_result(tmp_path / env_id, metadata, "bc", evaluation)
    records = read_results(tmp_path)
    exact, near = (table.splitlines() for table in markdown_table(records).split("\n\n"))
    assert "| hopper-medium | bc |" in exact[2] and "| 100.0 |" in exact[2]
    assert "NOT D4RL's metric" in near[0] and "| hopper-medium in Hopper-v5 | bc |" in near[2]
    summary = summary_table(records).splitlines()
    assert summary[2].startswith("| hopper-medium | 100.0 |")
    assert summary[3].startswith("| hopper-medium in Hopper-v5 | 100.0* |")
