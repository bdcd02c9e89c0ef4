"""The report of the repository's own results: every number recomputed here from raw returns.

Nothing of `lpt.reporting` is used for that, but for the interval over shared episodes the formula
is that of its docstring.
"""

import csv
import json
import math
import re
import shutil
from itertools import product
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from lpt.cli.report import main

ROOT = Path(__file__).parents[1]
RESULTS, KEPT = ROOT / "results", ROOT / "docs" / "results"
pytestmark = pytest.mark.skipif(not RESULTS.is_dir(), reason="results are in the repository only")
REFERENCES = {
    "maze2d-umaze": (23.85, 161.86),
    "maze2d-medium": (13.13, 277.39),
    "maze2d-large": (6.7, 273.99),
    "halfcheetah": (-280.178953, 12135.0),
    "hopper": (-20.272305, 3234.3),
    "walker2d": (1.629008, 4592.3),
}
"""D4RL's random and expert returns."""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report, made by the command."""
    out = tmp_path_factory.mktemp("report") / "made"
    assert main(["all", str(RESULTS), "--out", str(out)]) == 0
    return out


def read(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def close(text, expected):
    """A number of a CSV, which has seven digits."""
    if expected is None:
        return text == ""
    return float(text) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def scored(task, returns):
    """Returns as D4RL's scores, where it has the task."""
    name = task if task.startswith("maze2d") else task.split("-")[0]
    low, high = REFERENCES.get(name, (0.0, 100.0))
    return 100 * (np.asarray(returns, float) - low) / (high - low)


@pytest.fixture(scope="module")
def raw(report):
    """`{(row, algorithm, updates, target, w): {seed: (scores, first reset, record)}}`."""
    rows = {}
    by_file = {line["file"]: line["row"] for line in read(report / "files.csv")}
    paths = sorted(RESULTS.glob("**/seed*.json"))
    assert len(by_file) == len(paths)  # none is left out
    for path in paths:
        record = json.loads(path.read_text())
        last = record["last"]
        updates = record.get("updates", record.get("steps"))
        name = by_file[path.relative_to(RESULTS).as_posix()]
        key = name, record["algorithm"], updates, last["target"], last["weight"]
        values = scored(record["task"], last["returns"])
        seeds = rows.setdefault(key, {})
        seeds.setdefault(record["seed"], []).append((values, last["seed"], record))
    return rows


def resampled(values):
    """Mean of each of 2000 resamples."""
    drawn = np.random.default_rng(0).integers(len(values), size=(2000, len(values)))
    return np.asarray(values)[drawn].mean(axis=1)


def interval(seeds):
    """95 % interval over `[(values, first reset)]`, as docs/evaluation.md says."""
    stats = pytest.importorskip("scipy.stats")
    if len(seeds) == 1:
        return tuple(np.quantile(resampled(seeds[0][0]), (0.025, 0.975)))
    if len(seeds) == 2:
        return None, None
    assert len(seeds) < 10, "recompute the hierarchical bootstrap here, too"
    means = [np.mean(values) for values, _ in seeds]
    half = stats.t.ppf(0.975, len(seeds) - 1) * stats.sem(means)
    played = {}
    for values, first in seeds:
        for i, value in enumerate(values):
            played.setdefault(first + i, []).append(value)
    if max(map(len, played.values())) > 1:
        episodes = [np.mean(values) for values in played.values()]
        half = math.hypot(half, NormalDist().inv_cdf(0.975) * stats.sem(episodes))
    return np.mean(means) - half, np.mean(means) + half


def test_every_row_is_its_files(report, raw):
    lines = read(report / "results.csv")
    assert sum(len(line["seeds"].split()) for line in lines) == len(read(report / "files.csv"))
    for line in lines:
        key = line["row"], line["algorithm"], int(line["updates"])
        (found,) = [v for k, v in raw.items() if k[:3] == key and close(line["target"], k[3])
                    and close(line["weight"], k[4])]  # fmt: skip
        seeds = [found[int(seed)][0] for seed in line["seeds"].split()]
        assert all(len(found[int(seed)]) == 1 for seed in line["seeds"].split())
        means = [np.mean(values) for values, _, _ in seeds]
        assert close(line["mean"], np.mean(means)), line
        assert close(line["std_over_seeds"], np.std(means, ddof=1) if means[1:] else None), line
        low, high = interval([(values, first) for values, first, _ in seeds])
        assert close(line["low"], low) and close(line["high"], high), line
        middle = [np.sort(v)[len(v) // 4 : len(v) - len(v) // 4].mean() for v, _, _ in seeds]
        assert close(line["iqm"], np.mean(middle)), line
        best = [
            scored(record["task"], record["best"]["returns"]).mean()
            for _, _, record in seeds
            if record.get("best")
        ]
        assert close(line["best_mean"], np.mean(best) if best else None), line
        seconds = [record["wall_seconds"] for _, _, record in seeds]
        assert close(line["seconds"], np.mean(seconds)), line
        for _, _, record in seeds:
            assert line["source"] == record["data"]["source"]
            assert line["labels"] == record["config"]["dataset"]["returns"]
            drawn = not record["last"]["deterministic"]
            assert line["actions"] == ("drawn" if drawn else "most probable")


def test_every_file_is_its_returns(report):
    for line in read(report / "files.csv"):
        record = json.loads((RESULTS / line["file"]).read_text())
        returns = np.array(record["last"]["returns"])
        values = scored(record["task"], returns)
        assert close(line["mean_return"], returns.mean()) and close(line["mean"], values.mean())
        assert close(line["std"], values.std()) and int(line["episodes"]) == len(returns)
        best = record.get("best")
        assert close(line["best_mean_return"], np.mean(best["returns"]) if best else None)
        assert line["commit"] == (record.get("commit") or "not recorded")


def paired(one, two):
    """Differences of seeds and resets that both have."""
    found = {}
    for seed in sorted(set(one) & set(two)):
        (a, first, _), (b, other, _) = one[seed][0], two[seed][0]
        start, end = max(first, other), min(first + len(a), other + len(b))
        if start < end:
            found[seed] = (a[start - first : end - first] - b[start - other : end - other], start)
    return found


def check_pair(line, differences, strata):
    """Compare a line of a CSV with paired differences and each task's seeds' means."""
    stats = pytest.importorskip("scipy.stats")
    seeds = [differences[int(seed)] for seed in line["seeds"].split()]
    assert len(seeds) == len(differences), line
    means = [values.mean() for values, _ in seeds]
    assert close(line["difference"], np.mean(means)), line
    low, high = interval(seeds)
    assert close(line["low"], low) and close(line["high"], high), line
    if line["interval"] == "t over seeds":
        assert close(line["p"], stats.ttest_1samp(means, 0).pvalue), line
    assert (line["p"] != "") == (len(seeds) > 2), line
    wins = [np.mean([(x > y) + (x == y) / 2 for x, y in product(*pair)]) for pair in strata]
    enough = min(len(side) for pair in strata for side in pair) >= 3
    assert close(line["improvement"], np.mean(wins) if enough else None), line
    if low is None:
        assert "nothing is claimed" in line["verdict"]
    else:
        word = "ahead" if low > 0 else "behind" if high < 0 else "equal within the interval"
        assert word in line["verdict"], line


def test_every_pair_is_its_files(report, raw):
    """Also the plan's, whose names of rows may be shorter: the files of `where` are the same."""
    lines = read(report / "pairs.csv")
    assert lines
    groups = rows_by_conditions(report, raw)
    left = {}
    for line in lines:
        left.setdefault((line["one"], line["two"], line["seeds"], line["difference"]), line)
    for (one, a), (two, b) in same_conditions(groups):
        differences = paired(a, b)
        if not differences:
            continue
        value = np.mean([values.mean() for values, _ in differences.values()])
        fitting = [
            line
            for line in lines
            if {line["one"], line["two"]} == {one, two} and line["difference"] != ""
            and (close(line["difference"], value) or close(line["difference"], -value))
        ]  # fmt: skip
        assert fitting, (one, two)
        line = fitting[0]
        if line["one"] != one:
            a, b = b, a
        check_pair(line, paired(a, b), [[means(a), means(b)]])
    assert len(lines) == len(list(same_conditions(groups)))


def means(seeds):
    return [values.mean() for ((values, _, _),) in seeds.values()]


def rows_by_conditions(report, raw):
    """`{conditions: [(algorithm, seeds)]}` by the columns of results.csv."""
    groups = {}
    names = "task environment source data labels actions resets".split()
    for line in read(report / "results.csv"):
        key = line["row"], line["algorithm"], int(line["updates"])
        (found,) = [v for k, v in raw.items() if k[:3] == key and close(line["target"], k[3])
                    and close(line["weight"], k[4])]  # fmt: skip
        groups.setdefault(tuple(line[n] for n in names), []).append((line["algorithm"], found))
    return groups


def same_conditions(groups):
    for rows in groups.values():
        for i, one in enumerate(rows):
            for two in rows[i + 1 :]:
                yield one, two


def test_what_the_plan_adds_is_its_files(report, raw):
    groups = rows_by_conditions(report, raw)
    lines = read(report / "plan.csv")
    done = [line for line in lines if line["difference"]]
    tasks, domains = [], []
    for line in done:
        (domains if "mean of" in line["where"] else tasks).append(line)
    for line in tasks:
        name = line["where"].partition(" ")[0]
        candidates = [
            (a[1], b[1])
            for conditions, rows in groups.items()
            if conditions[0] == name
            for a, b in product(rows, rows)
            if (a[0], b[0]) == (line["one"], line["two"])
        ]
        fitting = [
            (a, b)
            for a, b in candidates
            if close(line["difference"], np.mean([v.mean() for v, _ in paired(a, b).values()]))
        ]
        assert fitting, line
        check_pair(line, paired(*fitting[0]), [list(map(means, fitting[0]))])
    for line in domains:
        check_domain(line, [t for t in tasks if same_domain(t, line)], groups)
    check_holm(lines)
    plans = {line["one"] for line in lines}
    assert {"lpt", "lpt-ei"} <= plans
    for line in lines:
        if not line["difference"]:
            assert "was not run" in line["verdict"] or "updates" in line["verdict"], line


def same_domain(task, line):
    prefixes = {"gym-mujoco": ("halfcheetah", "hopper", "walker2d")}
    family = line["where"].partition(",")[0]
    fits = task["where"].startswith(prefixes.get(family, (family,)))
    return fits and (task["one"], task["two"]) == (line["one"], line["two"])


def check_domain(line, tasks, groups):
    """A domain's difference is the mean over tasks of each seed's."""
    assert f"mean of {len(tasks)} " in line["where"]
    pairs = []
    for task in tasks:
        name = task["where"].partition(" ")[0]
        rows = [r for c, rows in groups.items() if c[0] == name for r in rows]
        pairs.append(tuple(next(s for a, s in rows if a == task[k]) for k in ("one", "two")))
    each = [paired(a, b) for a, b in pairs]
    seeds = sorted(set.intersection(*map(set, each)))
    differences = {
        seed: (np.mean([task[seed][0] for task in each], axis=0), each[0][seed][1])
        for seed in seeds
    }
    check_pair(line, differences, [[means(a), means(b)] for a, b in pairs])


def check_holm(lines):
    tested = sorted((float(line["p"]), i) for i, line in enumerate(lines) if line["p"])
    largest = 0.0
    for rank, (p, i) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - rank)))
        assert float(lines[i]["p_adjusted"]) == pytest.approx(largest, rel=1e-5)


def test_every_profile_is_its_files(report, raw):
    groups = rows_by_conditions(report, raw)
    lines = read(report / "profiles.csv")
    text = (report / "tables.md").read_text(encoding="utf-8")
    for place in {line["where"] for line in lines}:
        tasks = re.search(re.escape(place) + r": ([\w, -]+)", text)[1].split(", ")
        for algorithm in {line["algorithm"] for line in lines if line["where"] == place}:
            runs = [
                np.array(means(seeds))
                for task in tasks
                for conditions, rows in groups.items()
                if conditions[0] == task
                for name, seeds in rows
                if name == algorithm
            ]
            assert len(runs) == len(tasks)
            own = [x for x in lines if (x["where"], x["algorithm"]) == (place, algorithm)]
            for line in own:
                level = float(line["level"])
                if min(abs(r - level).min() for r in runs) > 1e-5:  # the level has seven digits
                    expected = np.mean([(r > level).mean() for r in runs])
                    assert close(line["share"], expected), line
                    if line["low"]:
                        low, high = float(line["low"]), float(line["high"])
                        assert low - 1e-6 <= expected <= high + 1e-6


def test_every_return_asked_for_is_its_file(report):
    for line in read(report / "asked.csv"):
        record = json.loads((RESULTS / line["file"]).read_text())
        if "points" in record:
            points = [p for p in record["points"] if p["actions"] == "sample"]
            letters = {"W": 1.0, "D": 0.0, "L": -1.0}
            returns = {p["target"]: [letters[x] for x in p["returns"]] for p in points}
        else:
            returns = {p["target"]: p["returns"] for p in record["sweep"]}
        (earned,) = [r for target, r in returns.items() if close(line["target"], target)]
        assert close(line["earned"], np.mean(earned)), line
        low, high = np.quantile(resampled(earned), (0.025, 0.975))
        assert close(line["low"], low) and close(line["high"], high), line


def test_the_page_needs_nothing_else_and_has_every_section(report):
    text = (report / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", text)
    assert len(text) < 2 << 20
    for path in report.glob("*.svg"):
        assert f'id="{path.stem}"' in text and path.with_suffix(".png").is_file()
    markdown = (report / "tables.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\(([\w.-]+)\)", markdown):
        assert (report / name).is_file(), name


def test_it_is_replaced_as_a_whole_and_only_if_it_is_a_report(report, tmp_path, capsys):
    out = tmp_path / "report"
    small = tmp_path / "results"
    shutil.copytree(RESULTS / "maze2d-umaze", small / "maze2d-umaze")
    command = ["all", str(small), "--out", str(out)]
    assert main(command) == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    (out / "left.png").write_text("of a task that is gone")
    assert main(command) == 2 and "pass --overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before  # the same digits
    (tmp_path / "mine").mkdir()
    assert main(["all", str(small), "--out", str(tmp_path / "mine"), "--overwrite"]) == 2
    assert "report.json" in capsys.readouterr().err


def test_the_kept_report_is_of_these_results(report):
    """`make results` makes it; numbers may differ in their last digits on other processors."""
    made, kept = (json.loads((folder / "report.json").read_text()) for folder in (report, KEPT))
    assert made["sha256"] == kept["sha256"], "results/ changed: run make results"
    texts = {path.name for path in report.iterdir() if path.suffix in (".csv", ".md", ".png")}
    assert texts | {"report.json"} == {p.name for p in KEPT.iterdir()} - {"report.html"} - {
        path.name for path in KEPT.glob("*.svg")
    }
    for name in texts:
        if not name.endswith(".png"):
            same_numbers((report / name).read_text(), (KEPT / name).read_text(), name)


def same_numbers(one, two, name):
    split = re.compile(r"(-?\d+\.?\d*(?:e-?\d+)?)")
    parts, others = split.split(one), split.split(two)
    assert len(parts) == len(others) and parts[::2] == others[::2], f"{name}: run make results"
    for a, b in zip(parts[1::2], others[1::2], strict=True):
        assert a == b or math.isclose(float(a), float(b), rel_tol=1e-2, abs_tol=1e-2), name
