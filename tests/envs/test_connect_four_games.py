"""Connect Four games: replay by the rules, the text format, the players, the shipped files."""

import lzma

import numpy as np
import pytest

from lpt_envs.connect_four.board import Board
from lpt_envs.connect_four.games import Games, format_games, generate, parse_games, shipped_games
from lpt_envs.connect_four.opponents import optimal_move
from lpt_envs.connect_four.players import MIXTURES, EpsGreedy, Mixture, Specialized
from lpt_envs.connect_four.replay import IllegalGame, observations, replay

LAST_DISC = "416113032521012232343160065254045605456643"
"""The opponent wins with disc 42."""
DRAWN = "661460464213205326134631200115540554350232"
QUICK = "0102030"
"""The agent wins with its fourth disc in column 0."""


def random_game(rng: np.random.Generator) -> str:
    """A game of random columns; the agent's may be full."""
    board, moves = Board(), []
    while not board.over:
        asked = int(rng.integers(7))
        column = board.resolve(asked)
        moves.append(asked if board.ply % 2 == 0 else column)
        board = board.play(column)
    return "".join(map(str, moves))


def by_board(moves: str) -> tuple[list[np.ndarray], Board]:
    """The agent's observations and the last board, by the slow and simple way."""
    board, seen = Board(), []
    for number, move in enumerate(moves):
        if number % 2 == 0:
            seen.append(board.observation())
        board = board.play(board.resolve(int(move)))
    return seen, board


def test_replay_is_what_the_board_does():
    rng = np.random.default_rng(0)
    games = [random_game(rng) for _ in range(200)] + [LAST_DISC, DRAWN, QUICK]
    record = replay(games)
    expected = [by_board(moves) for moves in games]
    seen = np.array([row for rows, _ in expected for row in rows])
    np.testing.assert_array_equal(observations(record.first, record.second), seen)
    last = np.array([board.observation() for _, board in expected])
    np.testing.assert_array_equal(observations(record.final_first, record.final_second), last)
    assert record.actions.tolist() == [int(move) for moves in games for move in moves[::2]]
    assert np.diff(record.offsets).tolist() == [(len(moves) + 1) // 2 for moves in games]
    assert record.plies.tolist() == [board.ply for _, board in expected]
    results = [(1 if board.ply % 2 else -1) if board.won else 0 for _, board in expected]
    assert record.results.tolist() == results and set(results) == {-1, 0, 1}
    assert results[-3:] == [-1, 0, 1] and record.plies[-3:].tolist() == [42, 42, 7]
    played = ["".join(map(str, row[row >= 0])) for row in record.played]
    assert sum(a != b for a, b in zip(games, played, strict=True)) > 20  # remapped
    for moves, discs in zip(games, played, strict=True):
        assert Board.from_moves(discs) == by_board(moves)[1]


@pytest.mark.parametrize(
    ("moves", "move", "reason"),
    [
        ("7102030", 1, "column 7 is out of range: columns are 0 to 6"),
        ("0109", 4, "column 9 is out of range"),
        ("01x2030", 3, "not a digit"),
        ("01 2030", 3, "not a digit"),
        ("0٣02030", 2, "not a digit"),
        ("00000010", 8, "column 0 is full"),
        (QUICK + "1", 8, "the game was over: the first player had won with move 7"),
        ("102030503", 9, "the game was over: the second player had won with move 8"),
        (LAST_DISC + "0", 43, "the game was over"),
        (DRAWN + "01234", 43, "the game was over: the board was full"),
        (DRAWN[:-1], 41, "the game is not finished"),
        ("010203", 6, "the game is not finished"),
        ("", 0, "the game is not finished"),
    ],
)
def test_illegal_games_are_named(moves, move, reason):
    with pytest.raises(IllegalGame, match=reason) as error:
        replay([QUICK, QUICK, moves, "7"])
    assert (error.value.game, error.value.move) == (2, move)


def test_the_text_round_trips():
    games = Games(moves=[QUICK, DRAWN, QUICK], players=["s", "", "e"], names={"s": "specialized"})
    text = format_games(games, {"provenance": {"id": "mine"}})
    again, header, first_line = parse_games(text)
    assert again == games and first_line == 2 and header["provenance"] == {"id": "mine"}
    assert text.splitlines()[1:] == [f"{QUICK} s", DRAWN, f"{QUICK} e"]


def test_comments_and_windows_line_ends():
    games, header, first_line = parse_games(f"# mine\r\n#\r\n{QUICK}\r\n{DRAWN}")
    assert games.moves == [QUICK, DRAWN] and header == {} and first_line == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no games"),
        ("# only a comment\n", "no games"),
        (f"{QUICK}\n\n{QUICK}\n", "line 2: no moves"),
        (f"{QUICK} player\n", "line 1: 'player' after the moves; expected one letter"),
        (f"{QUICK} \n", "line 1: '' after the moves"),
        ("# {'format': 1}\n", "line 1: the header is not JSON"),
        ('# {"version": 1}\n', "line 1: the header's format is None"),
        ('# {"format": "connect-four-games", "version": 2}\n', "version is 2, expected 1"),
        (
            '# a\n# {"format": "connect-four-games", "version": 1, "last_disc_draw": 1}\n',
            "line 2: the header's last_disc_draw",
        ),
        ('# {"format": "connect-four-games", "version": 1, "players": []}\n', "players must name"),
        (2 * '# {"format": "connect-four-games", "version": 1}\n', "line 2: a second header"),
    ],
)
def test_malformed_texts_name_the_line(text, message):
    with pytest.raises(ValueError, match=message):
        parse_games(text)


def test_the_specialized_player():
    rng, player, board = np.random.default_rng(0), Specialized(), Board()
    assert {player.act(board, step, rng) for step in range(5)} == {6}
    later = np.bincount([player.act(board, 5, rng) for _ in range(4000)], minlength=7) / 4000
    assert later[6] == pytest.approx(0.1, abs=0.02)
    np.testing.assert_allclose(later[:6], 0.15, atol=0.02)


def test_the_eps_greedy_player():
    rng, board = np.random.default_rng(0), Board.from_moves("33")
    best = optimal_move(board)
    assert {EpsGreedy(epsilon=0.0).act(board, 1, rng) for _ in range(50)} == {best}
    moves = [EpsGreedy(epsilon=0.3).act(board, 1, rng) for _ in range(4000)]
    shares = np.bincount(moves, minlength=7) / 4000
    assert shares[best] == pytest.approx(0.7 + 0.3 / 7, abs=0.025)
    np.testing.assert_allclose(np.delete(shares, best), 0.3 / 7, atol=0.015)


def test_mixtures_draw_players_by_weight():
    rng = np.random.default_rng(0)
    for name, shares in (
        ("esper", {"s": 0.5, "e": 0.5}),
        ("gamble", {"s": 0.9, "e": 0.1}),
        ("mixed", {"s": 0.25, "e": 0.25, "f": 0.25, "g": 0.25}),
    ):
        drawn = [MIXTURES[name].draw(rng).letter for _ in range(4000)]
        for letter, share in shares.items():
            assert drawn.count(letter) / 4000 == pytest.approx(share, abs=0.03)
    epsilons = [p.epsilon for p in MIXTURES["mixed"].players if isinstance(p, EpsGreedy)]
    assert epsilons == [0.01, 0.1, 0.3]


def test_perfect_play_always_wins():
    perfect = Mixture(players=(EpsGreedy(epsilon=0.0),), weights=(1.0,), games=30)
    games = generate(perfect, seed=3)
    assert len(games) == 30 and (replay(games.moves).results == 1).all()
    assert games.names == {"e": "eps-greedy 0"}


def test_sizes_and_seeds():
    games = generate(MIXTURES["esper"], games=40, seed=5)
    assert len(games) == 40
    assert generate(MIXTURES["esper"], games=25, seed=5).moves == games.moves[:25]
    assert generate(MIXTURES["esper"], games=40, seed=6).moves != games.moves
    steps = [(len(moves) + 1) // 2 for moves in games.moves]
    by_steps = generate(MIXTURES["esper"], steps=sum(steps[:10]), seed=5)
    assert by_steps.moves == games.moves[:10]  # the last game is finished, and none follows
    assert len(generate(MIXTURES["esper"], steps=sum(steps[:10]) + 1, seed=5)) == 11
    calls = []
    generate(MIXTURES["esper"], games=3, progress=lambda *done: calls.append(done))
    assert calls[-1] == (3, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be an integer of at least 1, got 0"),
        ({"games": 2.5}, "games must be an integer"),
        ({"games": 2, "steps": 2}, "steps or games, not both"),
        ({"games": 2, "opponent": "god"}, "opponent must be one of"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        generate(MIXTURES["esper"], **options)


@pytest.mark.parametrize(("name", "count"), [("esper", 100), ("gamble", 150), ("mixed", 4)])
def test_the_shipped_games_are_what_their_seed_plays(name, count):
    path = shipped_games(name)
    assert path.stat().st_size < 200_000
    games, header, _ = parse_games(lzma.decompress(path.read_bytes()).decode())
    assert header["provenance"]["details"]["seed"] == 0
    again = generate(MIXTURES[name], games=count, seed=0)
    assert again.moves == games.moves[:count] and again.players == games.players[:count]
    assert again.names == games.names
