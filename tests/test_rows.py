"""Rows: what may be averaged and compared, and the words that say why something may not."""

import copy

import pytest

from lpt.reporting.pairs import all_pairs, plan_pairs
from lpt.reporting.rows import domain, names_of, rows_of, split_name
from lpt.reporting.sections import curve_section
from lpt.reporting.tables import markdown_table, summary_table


@pytest.fixture
def record(make_metadata, make_evaluation):
    """`record(seed, level, algorithm="lpt", first=None, **changes)`: a result of two episodes."""
    from lpt.reporting.results import result_record

    def make(seed, level, algorithm="lpt", first=None, **changes):
        first = 1000 + 10_000 * seed if first is None else first
        evaluation = make_evaluation([level - 1, level + 1], seed=first)
        made = result_record(make_metadata(seed=seed), algorithm, evaluation, wall_seconds=60.0)
        made = copy.deepcopy(made)
        for path, value in changes.items():
            *parents, name = path.split("__")
            place = made
            for parent in parents:
                place = place[parent]
            place[name] = value
        return made

    return make


def test_seeds_that_differ_in_nothing_else_are_one_row(record):
    (row,) = rows_of([record(seed, 100.0 + seed) for seed in range(3)])
    assert [run.seed for run in row.runs] == [0, 1, 2] and row.remarks == []
    assert row.conditions.resets == "own resets" and row.conditions.labels == "recorded"


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"data__source": "d4rl"}, "maze2d-umaze (d4rl data)"),
        ({"data__fingerprint": "c" * 64}, "maze2d-umaze (data cccccccc)"),
        ({"labels": "held"}, "maze2d-umaze (held labels)"),
        ({"last__deterministic": False}, "maze2d-umaze (drawn actions)"),
        ({"last__env_id": "my:Maze-v0"}, "maze2d-umaze in my:Maze-v0"),
    ],
)
def test_other_conditions_are_named_and_never_averaged_nor_compared(record, changes, name):
    records = [record(0, 100.0), record(1, 120.0, **changes), record(1, 90.0, "bc", **changes)]
    rows = rows_of(records)
    assert len(rows) == 3 and names_of(rows)[1] == name != names_of(rows)[0]
    assert len({names_of(rows)[0], *names_of(rows)[1:]}) == 2
    assert [(p.one, p.two) for p in all_pairs(rows)] == [("lpt", "bc")]
    table = summary_table(records).splitlines()[2:]
    assert len(table) == 2 and table[1].startswith(f"| {name} |")


@pytest.mark.parametrize(
    "changes",
    [{"updates": 20}, {"last__target": 100.0}, {"last__weight": 3.0},
     {"config__evaluation__target": 165.0}],
)  # fmt: skip
def test_other_settings_are_rows_of_their_own(record, changes):
    assert len(rows_of([record(0, 100.0), record(1, 120.0, **changes)])) == 2
    lines = summary_table([record(0, 100.0), record(1, 120.0, **changes)]).splitlines()
    assert len(lines) == 4 and "updates, target" in lines[3]


def test_old_and_new_resets_are_not_mixed_and_shared_ones_are_said(record):
    old = [record(seed, 100.0 + seed, first=1000) for seed in range(3)]
    (row,) = rows_of(old)  # seed 0 fits both ways and goes with the others
    assert row.conditions.resets == "resets from 1000"
    assert row.remarks == ["seeds 0, 1, 2 share resets"]
    assert "| seeds 0, 1, 2 share resets |" in markdown_table(old)
    rows = rows_of([*old, record(3, 104.0), record(4, 105.0)])
    assert [[run.seed for run in row.runs] for row in rows] == [[0, 3, 4], [1, 2]]
    assert names_of(rows) == [f"maze2d-umaze ({r})" for r in ("own resets", "resets from 1000")]


def test_settings_that_differ_between_seeds_are_said(record):
    other = record(1, 1.0, config__planning__draws=9)
    (row,) = rows_of([record(0, 1.0), other])
    assert row.remarks == ["seeds differ in planning.draws"]


def test_commits_are_named(record):
    commits = ["ab" * 20, "ab" * 20 + "+changes", "lpt-toolkit 0.2.0"]
    (row,) = rows_of([record(seed, 1.0, commit=commit) for seed, commit in enumerate(commits)])
    assert row.commits == ["ababababa", "ababababa+", "lpt-toolkit 0.2.0"]
    assert rows_of([record(0, 1.0, commit=None)])[0].commits == ["not recorded"]


def test_a_plan_is_compared_to_each_baseline_or_it_is_said_why_not(record):
    records = [record(seed, 130.0 + seed) for seed in range(3)]
    records += [record(seed, 100.0 + 2 * seed, "dt-final") for seed in range(3)]
    records += [record(0, 50.0, "bc-10", updates=20)]
    prompt, goal, cloning = plan_pairs(rows_of(records))
    scale = 100 / (161.86 - 23.85)
    assert prompt.seeds == (0, 1, 2) and prompt.mean.value == pytest.approx(29 * scale)
    half = 4.3026527 * 1 / 3**0.5 * scale  # differences of 30, 29 and 28
    assert prompt.mean.interval.low == pytest.approx(29 * scale - half)
    assert prompt.improvement == 1 and prompt.p_adjusted == prompt.mean.p
    assert prompt.verdict == f"ahead by at least {29 * scale - half:.1f}"
    assert goal.verdict == "goal was not run: nothing is claimed"
    assert cloning.verdict == "bc-10 has 20 updates: nothing is claimed"


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        ((1, 2, 3), "equal within the interval"),
        ((-50, -51, -52), "behind by at least"),
        ((9,), "training seed 0 alone: ahead by at least"),
        ((9, 10), "two seeds say nothing of chance"),
    ],
)
def test_verdicts_follow_from_intervals(record, levels, verdict):
    records = [record(seed, 100.0 + level) for seed, level in enumerate(levels)]
    records += [record(seed, 100.0, "dt-final") for seed in range(len(levels))]
    assert plan_pairs(rows_of(records))[0].verdict.startswith(verdict)


def test_a_domain_averages_over_its_tasks(record):
    records = [
        record(seed, level, algorithm, task=task, last__env_id="my:Maze-v0")
        for task, gain in (("maze2d-umaze", 10.0), ("maze2d-eval-umaze", 30.0))
        for algorithm, level in (("lpt", 100.0 + gain), ("dt-final", 100.0))
        for seed in range(3)
    ]
    pair = plan_pairs(rows_of(records))[-1]
    assert pair.place == "maze2d, mean of 2 tasks" and pair.mean.value == pytest.approx(20)


def test_variants_and_domains():
    assert split_name("lpt-ei-draws4") == ("lpt-ei", "draws4")
    assert split_name("bc-10") == ("bc-10", "") and split_name("mine") == ("mine", "")
    assert split_name("dt-final-4000") == ("dt-final", "4000")
    tasks = ("walker2d-medium", "connect-four-mixed", "maze2d-large", "bend")
    assert list(map(domain, tasks)) == ["gym-mujoco", "connect-four", "maze2d", "bend"]


def test_a_variant_named_for_its_labels_stands_in_the_summary(record):
    records = [record(0, 100.0, labels="held"), record(0, 90.0, "lpt-recorded")]
    lines = summary_table(records).splitlines()[2:]
    assert [line.split(" | ")[0] for line in lines] == [
        "| maze2d-umaze (held labels)",
        "| maze2d-umaze (recorded labels)",
    ]


def test_curves_are_shown_where_a_record_has_one(record):
    points = [{"updates": 10, "returns": [1.0, 3.0]}, {"updates": 20, "returns": [5.0]}]
    rows = rows_of([record(0, 100.0, curve=points), record(1, 100.0)])
    section = curve_section(rows)
    means = [(line["seed"], line["updates"], line["mean_return"]) for line in section.numbers]
    assert means == [(0, 10, 2.0), (0, 20, 5.0)] and section.figure is not None
    assert curve_section(rows_of([record(1, 100.0)])) is None
