"""What the CSV files of a report hold: plain numbers of rows, files, pairs, profiles and sweeps."""

from __future__ import annotations

from typing import Any

import numpy as np

from lpt.reporting.asked import Asked
from lpt.reporting.intervals import mean_of, sharing
from lpt.reporting.pairs import Pair
from lpt.reporting.profiles import Profile
from lpt.reporting.rows import PLANS, UNKNOWN, Row, split_name
from lpt.reporting.statistics import iqm
from lpt.reporting.tables import UNITS

Numbers = dict[str, Any]
"""One line, by column; None is left empty."""


def row_numbers(name: str, row: Row) -> Numbers:
    """Return a row: what it is of, its mean over seeds, interval, last and best apart."""
    mean, conditions = row.mean, row.conditions
    best = [run.values.mean() for run in row.best]
    seconds = [r["wall_seconds"] for r in row.records if r.get("wall_seconds")]
    return {
        "row": name,
        "task": row.task,
        "algorithm": row.algorithm,
        "environment": conditions.env_id,
        "source": conditions.source,
        "data": conditions.data,
        "labels": conditions.labels,
        "actions": conditions.actions,
        "resets": conditions.resets,
        "updates": row.updates,
        "target": row.target,
        "target_rule": row.rule,
        "weight": row.weight,
        "seeds": " ".join(str(run.seed) for run in row.runs),
        "episodes": " ".join(str(len(run.values)) for run in row.runs),
        "unit": UNITS[row.kind],
        "mean": mean.value,
        "std_over_seeds": np.std(row.means, ddof=1) if len(row.means) > 1 else None,
        "low": mean.interval.low,
        "high": mean.interval.high,
        "interval": mean.interval.method,
        "iqm": np.mean([iqm(run.values) for run in row.runs]),
        "best_mean": np.mean(best) if best else None,
        "best_seeds": len(best),
        "seconds": np.mean(seconds) if seconds else None,
        "precision": " ".join(row.precisions),
        "commits": " ".join(row.commits),
        "sharing_resets": " ".join(map(str, sharing(row.runs))),
        "remarks": "; ".join(row.remarks),
    }


def file_numbers(name: str, row: Row, place: int) -> Numbers:
    """Return one result file of a row, the `place`-th."""
    record, run = row.records[place], row.runs[place]
    best = record.get("best")
    return {
        "file": record["file"],
        "row": name,
        "algorithm": row.algorithm,
        "seed": run.seed,
        "first_reset": run.first_reset,
        "episodes": len(run.values),
        "mean_return": np.mean(record["last"]["returns"]),
        "mean": run.values.mean(),
        "std": run.values.std(),
        "predicted_return": record["last"].get("predicted_return"),
        "best_updates": None if best is None else best.get("updates", best.get("step")),
        "best_mean_return": None if best is None else np.mean(best["returns"]),
        "seconds": record.get("wall_seconds"),
        "fingerprint": record["data"].get("fingerprint"),
        "commit": record.get("commit") or UNKNOWN,
    }


def pair_numbers(pair: Pair) -> Numbers:
    """Return a comparison; empty where there is none."""
    mean = pair.mean
    return {
        "where": pair.place,
        "one": pair.one,
        "two": pair.two,
        "unit": UNITS[pair.unit],
        "seeds": " ".join(map(str, pair.seeds)),
        "difference": None if mean is None else mean.value,
        "low": None if mean is None else mean.interval.low,
        "high": None if mean is None else mean.interval.high,
        "interval": None if mean is None else mean.interval.method,
        "p": None if mean is None else mean.p,
        "p_adjusted": pair.p_adjusted,
        "improvement": pair.improvement,
        "improvement_low": pair.improvement_interval[0],
        "improvement_high": pair.improvement_interval[1],
        "verdict": pair.verdict,
    }


def profile_numbers(profile: Profile) -> list[Numbers]:
    """Return a profile, a line for each level."""
    low, high = profile.band or (None, None)
    return [
        {
            "where": profile.place,
            "algorithm": profile.algorithm,
            "level": level,
            "share": profile.shares[i],
            "low": None if low is None else low[i],
            "high": None if high is None else high[i],
        }
        for i, level in enumerate(profile.levels)
    ]


def curve_numbers(name: str, row: Row) -> list[Numbers]:
    """Return the curves of a row's seeds, a line for each evaluation."""
    return [
        {
            "row": name,
            "algorithm": row.algorithm,
            "seed": record["seed"],
            "updates": point["updates"],
            "episodes": len(point["returns"]),
            "mean_return": np.mean(point["returns"]),
        }
        for record in row.records
        for point in record.get("curve") or []
    ]


def asked_numbers(one: Asked) -> Numbers:
    """Return what one policy earned for one target."""
    plans = split_name(one.algorithm)[0] in PLANS
    mean = mean_of([one.run])
    return {
        "file": one.file,
        "task": one.task,
        "algorithm": one.algorithm,
        "seed": one.seed,
        "updates": one.updates,
        "weight": one.weight,
        "target": one.target,
        "fixed": one.fixed,
        "predicted": one.predicted if plans else None,
        "earned": mean.value,
        "low": mean.interval.low,
        "high": mean.interval.high,
        "episodes": len(one.returns),
    }
