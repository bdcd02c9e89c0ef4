"""The curve in a run's folder is a stranger's file until it is checked."""

import json

import pytest

from lpt.reporting.curve import NAME, add_point, drop_later, read_curve


def test_what_is_added_is_read_in_the_order_of_updates_and_the_later_holds(tmp_path):
    for updates, value in ((10, 1.0), (20, 2.0), (10, 3.0)):
        add_point(tmp_path, {"updates": updates, "returns": [value], "score": None, "target": 9})
    assert [(p.updates, p.returns) for p in read_curve(tmp_path)] == [(10, [3.0]), (20, [2.0])]


def test_later_lines_and_half_ones_are_dropped_and_others_stay_as_they_are(tmp_path):
    path = tmp_path / NAME
    path.write_text('{"step": 3,  "returns": [1]}\n{"updates": 9, "returns": [2]}\n{"updates": 4,')
    drop_later(tmp_path, 5)
    assert path.read_text() == '{"step": 3,  "returns": [1]}\n'
    drop_later(tmp_path / "without", 5)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("[1]\n{}", "updates is missing"),
        ('{"updates": 1}', "returns is missing"),
        ('{"updates": -1, "returns": [1]}', "updates is -1"),
        ('{"updates": "x", "returns": [1]}', "updates is 'x'"),
        ('{"updates": 1e400, "returns": [1]}', "updates is inf"),
        ('{"updates": 1, "returns": []}', r"returns is \[\]"),
        ('{"updates": 1, "returns": [NaN]}', "returns.0 is nan"),
        ('{"updates": 1, "returns": [1], "score": {}}', "score is {}"),
        ('{"updates": 1, "returns": ' + "[" * 9999 + "}", "no evaluation"),
        ("nonsense}", "no evaluation"),
    ],
)
def test_a_line_that_is_no_evaluation_is_refused_in_one_line(line, says, tmp_path):
    path = tmp_path / NAME
    path.write_text(json.dumps({"updates": 1, "returns": [1.0]}) + "\n" + line + "\n")
    before = path.read_bytes()
    for work in (lambda: read_curve(tmp_path), lambda: drop_later(tmp_path, 5)):
        with pytest.raises(ValueError, match=says) as error:
            work()
        said = str(error.value)
        assert said.startswith(f"{path}, line ") and "\n" not in said and len(said) < 800
    assert path.read_bytes() == before


def test_other_bytes_and_pipes_are_refused(tmp_path):
    (tmp_path / NAME).write_bytes(b"\xff\xfe}")
    with pytest.raises(ValueError, match="not text"):
        read_curve(tmp_path)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    with pytest.raises(ValueError, match="no regular file"):
        drop_later(tmp_path, 5)
