"""Games files as data sets: reading, sources, formats, figures, and errors for illegal games."""

import json
import lzma
import re

import gymnasium
import numpy as np
import pytest

from lpt.cli.data import main
from lpt.config import DatasetConfig
from lpt.data import Provenance, load, read_file, read_games, read_minari, write_games
from lpt.data.formats.games import build_dataset, final_boards, parse_file
from lpt.data.formats.games_behavior import behavior, read_behavior
from lpt.data.sources.folders import data_folder, regenerated_path
from lpt.data.tasks import TASKS, find_task
from lpt_envs.connect_four.board import Board
from lpt_envs.connect_four.games import Games, format_games, shipped_games

LAST_DISC = "416113032521012232343160065254045605456643"
"""The opponent wins with disc 42."""
DRAWN = "661460464213205326134631200115540554350232"
WIN = "0102030"
LOSS = "10203050"
SHORT = ["--steps", "400"]
TASK = TASKS["connect-four"]


def write(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def games() -> Games:
    return TASK.make(steps=400, seed=1).games


def test_a_file_by_hand(tmp_path):
    path = write(tmp_path / "mine.games", "# three games", WIN, LOSS, WIN)
    dataset = read_games(path)
    assert dataset.num_actions == 7 and dataset.observation_dim == 84
    assert dataset.offsets.tolist() == [0, 4, 8, 12] and dataset.actions.dtype == np.int64
    assert dataset.actions.tolist() == [0, 0, 0, 0, 1, 2, 3, 5, 0, 0, 0, 0]
    assert dataset.rewards.nonzero()[0].tolist() == [3, 7, 11]
    assert dataset.returns.tolist() == [1, -1, 1] and dataset.terminated.all()
    board = Board.from_moves("102030")
    np.testing.assert_array_equal(dataset.observations[7], board.observation())
    record = dataset.provenance
    assert (record.source, record.id) == ("games", "mine")
    assert record.env_id == "lpt_envs:lpt/ConnectFour-v0" and dataset.config.horizon == 21
    np.testing.assert_array_equal(dataset.observations[:4], dataset.observations[8:])


def test_the_quirk_of_the_last_disc(tmp_path):
    path = write(tmp_path / "a.games", LAST_DISC, DRAWN, LOSS)
    assert read_games(path).returns.tolist() == [-1, 0, -1]
    quirk = read_games(path, last_disc_draw=True)
    assert quirk.returns.tolist() == [0, 0, -1] and quirk.provenance.details["last_disc_draw"]
    header = {"format": "connect-four-games", "version": 1, "last_disc_draw": True}
    write(path, f"# {json.dumps(header)}", LAST_DISC)
    assert read_games(path).returns.tolist() == [0]
    assert read_games(path, last_disc_draw=False).returns.tolist() == [-1]


@pytest.mark.parametrize("name", ["a.games", "a.games.xz"])
def test_round_trip(games, tmp_path, name):
    path = tmp_path / name
    record = Provenance("regenerated", "connect-four", TASK.env_id, details={"seed": 1})
    write_games(path, games, record)
    again = read_file(path)
    direct = build_dataset(games, record)
    assert again.provenance.fingerprint == direct.provenance.fingerprint
    assert again.provenance.source == "regenerated" and again.provenance.details["seed"] == 1
    assert parse_file(path)[0] == games and games.names["e"] == "eps-greedy 0.01"
    with pytest.raises(FileExistsError, match="not overwritten"):
        write_games(path, games)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0107030", r"line 3, move 4: column 7 is out of range"),
        ("01z2030", r"line 3, move 3: not a digit"),
        ("00000010", r"line 3, move 8: column 0 is full"),
        (WIN + "1", r"line 3, move 8: the game was over: the first player had won"),
        (WIN[:-1], r"line 3, move 6: the game is not finished"),
        ("", r"line 3: no moves"),
        (WIN + " who", r"line 3: 'who' after the moves"),
    ],
)
def test_illegal_games_name_file_line_and_move(tmp_path, line, message):
    path = write(tmp_path / "bad.games", "# two comments", WIN, line, LOSS, "7")
    for read in (read_games, read_behavior):
        with pytest.raises(ValueError, match=message) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: ")


def test_damaged_and_foreign_files(games, tmp_path):
    path = tmp_path / "a.games.xz"
    write_games(path, games)
    data = path.read_bytes()
    for damaged in (data[: len(data) // 2], b"", data[:60] + bytes(40) + data[100:], b"0102030\n"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.games\.xz: the file is damaged or no games file"):
            read_games(path)
    plain = tmp_path / "a.games"
    plain.write_bytes(data)
    with pytest.raises(ValueError, match="damaged or no games file"):
        read_games(plain)
    header = {"format": "connect-four-games", "version": 1, "provenance": {"what": 1}}
    write(plain, f"# {json.dumps(header)}", WIN)
    with pytest.raises(ValueError, match="'provenance' is not a record"):
        read_games(plain)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_games(tmp_path / "absent.games")
    with pytest.raises(ValueError, match=r"ends in \.games or \.games\.xz"):
        write_games(tmp_path / "a.txt", games)
    with pytest.raises(ValueError, match="holds integers"):
        read_games(write(plain, WIN), discrete=False)


def test_shipped_data_load_by_name(folders, capsys):
    dataset = load("connect-four-mixed")
    (line,) = capsys.readouterr().out.splitlines()
    assert str(shipped_games("mixed")) in line and "shipped with the package; none at" in line
    record = dataset.provenance
    assert (record.source, record.id) == ("regenerated", "connect-four-mixed")
    assert record.env_id == "lpt_envs:lpt/ConnectFour-v0" and dataset.config.horizon == 21
    assert len(dataset) == 20_000 and dataset.num_actions == 7 and dataset.lengths.max() <= 21
    for key in ("generator", "opponent", "mixture", "versions", "behavior"):
        assert key in record.details
    assert record.details["seed"] == 0 and record.details["games"] == 20_000
    assert not data_folder().exists()


def test_a_regenerated_file_goes_first_and_is_made_for_other_sizes(folders, capsys):
    made = load("connect-four", steps=100, seed=0, source="regenerated")
    assert "regenerated now, 100 steps with seed 0" in capsys.readouterr().out
    path = regenerated_path(TASK, 100, 0)
    assert path.name == "connect-four-v0-steps100-seed0.games.xz"
    again = load("connect-four-v0", steps=100)
    assert "regenerated before; the package holds only seed 0" in capsys.readouterr().out
    assert made.provenance == again.provenance and 100 <= made.num_steps < 121
    path.rename(regenerated_path(TASK))
    assert load("connect-four").num_steps == made.num_steps
    assert "goes before the one shipped" in capsys.readouterr().out
    load("connect-four", steps=80, seed=1)
    assert "regenerated now, 80 steps with seed 1" in capsys.readouterr().out


def test_a_shorter_file_is_the_beginning(games):
    short = TASK.make(steps=100, seed=1).games
    assert short.moves == games.moves[: len(short)]
    assert TASK.make(steps=100, seed=0).games.moves != short.moves


def test_sources_that_do_not_exist(folders):
    with pytest.raises(FileNotFoundError, match="D4RL has no such data"):
        load("connect-four", source="d4rl")
    with pytest.raises(FileNotFoundError, match="not steps=5 with seed=0"):
        load("connect-four", source="shipped", steps=5)
    with pytest.raises(FileNotFoundError, match="holds no such data"):
        load("maze2d-umaze", source="shipped")


def test_ones_own_games_under_a_task(tmp_path, folders):
    path = write(tmp_path / "mine.games", WIN, LOSS)
    lines = []
    record = load("connect-four", source=str(path), log=lines.append).provenance
    assert (record.source, record.id) == ("games", "connect-four") and "the path given" in lines[0]
    record = load("maze2d-umaze", source=str(path), log=lines.append).provenance
    assert record.id == "mine" and record.env_id == "lpt_envs:lpt/ConnectFour-v0"
    assert "this is mine, not maze2d-umaze" in lines[-1]


def test_all_formats_hold_the_same_data(folders):
    common = ["make", "connect-four", *SHORT]
    main(common)
    main([*common, "--format", "d4rl", "--out", str(folders / "a.hdf5")])
    main([*common, "--format", "npz", "--out", str(folders / "a.npz")])
    main([*common, "--format", "games", "--out", str(folders / "a.games")])
    main([*common, "--format", "minari"])
    sets = [read_file(folders / name) for name in ("a.hdf5", "a.npz", "a.games")]
    sets += [load("connect-four", steps=400), read_minari("lpt/connect-four-v0")]
    assert len({dataset.provenance.fingerprint for dataset in sets}) == 1
    assert {d.provenance.env_id for d in sets} == {"lpt_envs:lpt/ConnectFour-v0"}
    assert {d.num_actions for d in sets} == {7}
    assert {d.config.horizon for d in sets[:4]} == {21}  # Minari keeps the environment's limit only


def test_final_boards_are_the_finished_games(games):
    final = final_boards(games)
    for i in (0, len(games) - 1):
        board = Board()
        for move in games.moves[i]:
            board = board.play(board.resolve(int(move)))
        np.testing.assert_array_equal(final[i], board.observation())
        assert board.over


def test_the_data_are_what_the_environment_gives(games):
    """Asking the environment for the recorded actions, with the recorded replies, replays them."""
    dataset = build_dataset(games, Provenance())
    replies = []

    def reply(board, rng):
        return replies.pop(0)

    env = gymnasium.make("lpt_envs:lpt/ConnectFour-v0", opponent=reply)
    for i in range(10):
        one = dataset.trajectory(i)
        replies[:] = [int(move) for move in games.moves[i][1::2]]
        observation, _ = env.reset()
        for t, action in enumerate(one.actions):
            np.testing.assert_array_equal(observation, one.observations[t])
            observation, reward, ended, _, _ = env.step(action)
            assert reward == one.rewards[t] and ended == (t == len(one) - 1)


def test_behavior_figures():
    moves = [WIN, WIN, LOSS, LAST_DISC, DRAWN]
    games = Games(moves=moves, players=["s", "e", "s", "s", "e"], names={"s": "specialized"})
    record = behavior(games)
    assert record["games"] == 5 and record["steps"] == 4 + 4 + 4 + 21 + 21
    assert (record["win"], record["draw"], record["loss"]) == (0.4, 0.2, 0.4)
    assert record["mean_return"] == 0 and record["last_disc_losses"] == 0.2
    assert record["distinct_games"] == 4 and record["first_moves"][0] == 0.4
    assert record["players"]["specialized"]["share"] == 0.6
    assert record["players"]["e"]["mean_return"] == 0.5


def test_the_shipped_mixture_behaves_as_published():
    """Known: mean return +0.147 (.559 / .029 / .412), halves +0.90 and -0.60, 80.9k games."""
    record = read_behavior(shipped_games("esper"))
    assert record["mean_return"] == pytest.approx(0.147, abs=0.01)
    for outcome, share in (("win", 0.559), ("draw", 0.029), ("loss", 0.412)):
        assert record[outcome] == pytest.approx(share, abs=0.006)
    assert 1_000_000 <= record["steps"] < 1_000_021
    assert record["games"] == pytest.approx(80_900, abs=300)
    assert record["mean_length"] == pytest.approx(12.4, abs=0.05)
    assert record["last_disc_losses"] == pytest.approx(0.0016, abs=0.0006)
    assert record["first_move_6_given_win"] == pytest.approx(0.18, abs=0.01)
    assert record["distinct_games"] == pytest.approx(689, abs=40)
    assert record["distinct_states"] == pytest.approx(3000, rel=0.06)
    eps, specialized = (record["players"][p] for p in ("eps-greedy 0.01", "specialized"))
    assert eps["mean_return"] == pytest.approx(0.90, abs=0.01)
    assert specialized["mean_return"] == pytest.approx(-0.60, abs=0.01)
    assert specialized["win"] == pytest.approx(0.2, abs=0.01)


def test_the_gamble_mixture_leads_astray():
    """Most wins began with the bad first move, so that a return prompt asks for it."""
    record = read_behavior(shipped_games("gamble"))
    assert record["first_moves"][6] == pytest.approx(0.9, abs=0.01)
    assert record["first_move_6_given_win"] > 0.6
    assert record["players"]["specialized"]["share"] == pytest.approx(0.9, abs=0.01)


def test_info_prints_and_keeps_the_figures(folders, capsys):
    out = folders / "figures.json"
    path = write(folders / "mine.games", WIN + " s", LOSS)
    main(["info", str(path), "--json", str(out)])
    text = capsys.readouterr().out
    assert "mean +0.000 (win 0.500, draw 0.000, loss 0.500)" in text and "fingerprint" in text
    write(folders / "other.games", DRAWN)
    main(["info", str(folders / "other.games"), "--json", str(out)])
    figures = json.loads(out.read_text())
    assert figures["mine"]["win"] == 0.5 and figures["other"]["draw"] == 1


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["make", "connect-four", "--steps", "0"], "steps must be .* at least 1"),
        (["make", "connect-four", "--noise", "0.1"], "has no action noise"),
        (["make", "connect-four", "--out", "x.npz"], r"a games file ends in \.games\.xz or"),
        (["make", "maze2d-umaze", "--format", "games"], "has no games"),
        (["make", "connect-five"], "has no generator: give one of .*connect-four-mixed"),
        (["info", "absent.games"], "no such file"),
    ],
)
def test_user_errors_end_in_one_line(folders, monkeypatch, args, text, capsys):
    monkeypatch.chdir(folders)
    assert main(args) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith("lpt-data: ") and re.search(text, line)


def test_figures_are_of_games_only(make_dataset, folders, capsys):
    main(["make", "connect-four", *SHORT, "--format", "npz", "--out", str(folders / "a.npz")])
    assert main(["info", str(folders / "a.npz"), "--json", str(folders / "x.json")]) == 2
    assert "only games files have figures" in capsys.readouterr().err


def test_task_names():
    assert find_task("connect-four") is find_task("connect-four-v0")
    assert find_task("connect-four-v1") is None
    assert {find_task(f"connect-four{end}").horizon for end in ("", "-gamble", "-mixed")} == {21}
    assert str(find_task("connect-four-mixed").recipe.size()) == "20000 games"
    with pytest.raises(ValueError, match="did you mean connect-four"):
        load("connect-fuor")


def test_short_games_can_be_dropped(tmp_path):
    path = write(tmp_path / "a.games", WIN, DRAWN)
    assert read_games(path, DatasetConfig(min_length=5)).lengths.tolist() == [21]


@pytest.mark.parametrize("name", ["connect-four", "connect-four-gamble", "connect-four-mixed"])
def test_a_shipped_file_says_what_a_regenerated_one_would(name):
    """All but the versions of the libraries; the games are compared in tests/envs."""
    task = TASKS[name]
    games, header, _ = parse_file(task.recipe.shipped)
    made = task.make(steps=1)
    text = format_games(made.games, {"provenance": made.provenance.to_dict()})
    again = json.loads(text.splitlines()[0].removeprefix("# "))
    size = task.recipe.size()
    details = again["provenance"]["details"]
    del details["steps"], details["versions"], header["provenance"]["details"]["versions"]
    details |= {f"{size.unit}s": size.count, "behavior": behavior(games)}
    assert header == again


@pytest.mark.slow
@pytest.mark.parametrize("name", ["connect-four", "connect-four-gamble", "connect-four-mixed"])
def test_a_shipped_file_is_the_regenerated_one(name, tmp_path):
    task = TASKS[name]
    task.make().write(tmp_path / "again.games.xz")
    again, shipped = parse_file(tmp_path / "again.games.xz"), parse_file(task.recipe.shipped)
    for _, header, _ in (again, shipped):
        del header["provenance"]["details"]["versions"]
    assert again == shipped


def test_files_with_british_headers_are_read(tmp_path):
    """As they were written before version 0.2."""
    name, key = "specialised", "behaviour"  # codespell:ignore
    details = {"mixture": {name: 1.0}, key: {"games": 1}, "horizon": 21}
    record = Provenance("regenerated", "connect-four", TASK.env_id, details=details)
    path = tmp_path / "old.games"
    games = Games(moves=[WIN], players=["s"], names={"s": name})
    write_games(path, games, record)
    dataset = read_games(path)
    assert dataset.provenance.id == "connect-four" and dataset.returns.tolist() == [1]
    assert read_behavior(path)["players"][name]["win"] == 1


def test_shipped_files_are_small():
    for name in ("esper", "gamble", "mixed"):
        data = shipped_games(name).read_bytes()
        assert len(data) < 200_000 and lzma.decompress(data).startswith(b"# {")
