"""The Connect Four environment: protocol, opponents, illegal moves, positions, copies, figures."""

import copy
import importlib.util
import os
import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

from lpt_envs.connect_four.board import Board
from lpt_envs.connect_four.env import ConnectFourEnv
from lpt_envs.connect_four.opponents import (
    OPPONENTS,
    EpsGreedy,
    Esper,
    Optimal,
    make_opponent,
)
from lpt_envs.connect_four.solver import best_move

IDS = ("ConnectFour", "ConnectFour-optimal", "ConnectFour-eps-greedy", "ConnectFour-random")
LAST_WINS = "4161130325210122323431600652540456054566"
"""40 moves, after which 4 and then 3 give the second player four with the last disc."""
DRAWN = "661460464213205326134631200115540554350232"

searches = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None
    or os.environ.get("LPT_NO_NUMBA", "") not in ("", "0"),
    reason="off the packaged table the solver searches, which takes minutes without numba",
)


def leftmost(board, rng):
    """An opponent that needs no solver and no randomness."""
    return board.legal[0]


def play(env, choose, seed=None):
    """One game; `choose(board, step)` gives the agent's columns. Returns the reward and moves."""
    _, info = env.reset(seed=seed)
    moves, over, step = [], False, 0
    while not over:
        _, reward, over, truncated, info = env.step(choose(env.board, step))
        assert not truncated and (over or reward == 0.0)
        moves += [info["column"], info["opponent_column"]]
        step += 1
    assert info["success"] is (reward > 0)
    return reward, moves


def mean_return(env, choose, games):
    """Mean return of `choose(board, step)` over games from seed 0."""
    env.reset(seed=0)
    return np.mean([play(env, choose)[0] for _ in range(games)])


@pytest.mark.parametrize("name", IDS)
def test_registered_environments_pass_gymnasiums_checker(name):
    env = gymnasium.make(f"lpt_envs:lpt/{name}-v0")
    check_env(env.unwrapped)
    assert env.observation_space.shape == (84,) and env.observation_space.dtype == np.float32
    assert env.action_space == gymnasium.spaces.Discrete(7)


def test_ids_choose_the_opponents_and_arguments_reach_them():
    opponents = [gymnasium.make(f"lpt_envs:lpt/{name}-v0").unwrapped.opponent for name in IDS]
    assert opponents == [make_opponent(name) for name in OPPONENTS]
    env = gymnasium.make("lpt_envs:lpt/ConnectFour-v0", opponent="eps-greedy", epsilon=0.25)
    assert env.unwrapped.opponent == EpsGreedy(0.25)


def test_a_step_is_the_agents_disc_and_the_reply():
    env = ConnectFourEnv(opponent=lambda board, rng: 5)
    first, info = env.reset()
    assert not first.any() and info["success"] is False and info["action_mask"].dtype == np.int8
    observation, reward, terminated, truncated, info = env.step(2)
    expected = np.zeros(84)
    expected[2 * 6] = expected[42 + 5 * 6] = 1  # plane * 42 + column * 6 + height
    assert np.array_equal(observation, expected) and observation.dtype == np.float32
    assert (reward, terminated, truncated) == (0.0, False, False)
    observation, *_ = env.step(2)
    expected[2 * 6 + 1] = expected[42 + 5 * 6 + 1] = 1
    assert np.array_equal(observation, expected)
    mask = info.pop("action_mask")
    assert mask.tolist() == [1] * 7 and mask.dtype == np.int8
    assert info == {"success": False, "column": 2, "opponent_column": 5, "illegal": False}


def test_observation_mask_and_board_agree_through_random_games():
    env = ConnectFourEnv(opponent="random")
    env.reset(seed=3)
    rng = np.random.default_rng(0)
    endings = set()
    for _ in range(150):
        observation, info = env.reset()
        over = False
        while not over:
            action = rng.integers(7)
            asked_full = not env.board.is_legal(int(action))
            observation, reward, over, _, info = env.step(action)
            assert np.array_equal(observation, env.board.observation())
            open_columns = np.flatnonzero(info["action_mask"])
            assert tuple(open_columns) == env.board.legal
            assert info["illegal"] is asked_full and env.board.over is over
        endings.add(reward)
        assert env.board.ply % 2 == (reward == 1.0)
    assert {1.0, -1.0} <= endings


def test_returned_arrays_belong_to_the_caller():
    env = ConnectFourEnv(opponent=leftmost)
    observation, info = env.reset()
    observation[:], info["action_mask"][:] = 9, 9
    observation, *_, info = env.step(3)
    assert observation.sum() == 2 and info["action_mask"].tolist() == [1] * 7
    kept = observation.copy()
    env.step(3)
    assert np.array_equal(observation, kept)


def test_win_loss_and_draw_are_paid_at_the_end_only():
    env = ConnectFourEnv(opponent=lambda board, rng: 0)
    assert play(env, lambda board, step: 3) == (1.0, [3, 0, 3, 0, 3, 0, 3, -1])
    assert play(env, lambda board, step: (1, 2, 4, 5)[step])[0] == -1.0
    mine, theirs = DRAWN[::2], DRAWN[1::2]
    env = ConnectFourEnv(opponent=lambda board, rng: int(theirs[board.ply // 2]))
    reward, moves = play(env, lambda board, step: int(mine[step]))
    assert reward == 0.0 and "".join(map(str, moves)) == DRAWN  # 21 steps


@pytest.mark.parametrize(("quirk", "expected"), [(False, -1.0), (True, 0.0)])
def test_a_win_with_the_last_disc_is_a_loss_or_the_originals_draw(quirk, expected):
    env = ConnectFourEnv(opponent=leftmost, last_disc_draw=quirk)
    env.reset(options={"moves": LAST_WINS})
    _, reward, terminated, _, info = env.step(4)
    assert env.board.full and env.board.won and terminated
    assert reward == expected and info["success"] is False
    earlier = ConnectFourEnv(opponent=lambda board, rng: 0, last_disc_draw=quirk)
    assert play(earlier, lambda board, step: (1, 2, 4, 5)[step])[0] == -1.0


COLUMN_0_FULL = {"moves": "000000"}


def test_full_columns_are_remapped_to_the_leftmost_open_one():
    env = ConnectFourEnv(opponent=lambda board, rng: 0)  # asks for the full column, too
    env.reset(options=COLUMN_0_FULL)
    observation, _, _, _, info = env.step(0)
    assert (info["column"], info["opponent_column"], info["illegal"]) == (1, 1, True)
    assert observation[6] == 1 and observation[42 + 7] == 1
    assert info["action_mask"].tolist() == [0, 1, 1, 1, 1, 1, 1]
    assert env.step(6)[4]["illegal"] is False


def test_full_columns_can_lose_the_game():
    env = ConnectFourEnv(opponent=leftmost, illegal="lose", render_mode="ansi")
    before, _ = env.reset(options=COLUMN_0_FULL)
    observation, reward, terminated, _, info = env.step(0)
    assert (reward, terminated, info["success"], info["illegal"]) == (-1.0, True, False, True)
    assert (info["column"], info["opponent_column"]) == (-1, -1)
    assert np.array_equal(before, observation)
    assert "column 0 is full" in env.render()
    with pytest.raises(ResetNeeded):
        env.step(1)
    env.reset()
    assert "full" not in env.render()


def test_full_columns_can_be_refused_and_leave_the_game_as_it_was():
    env = ConnectFourEnv(opponent=leftmost, illegal="raise")
    env.reset(options=COLUMN_0_FULL)
    before = env.board
    with pytest.raises(ValueError, match=r"column 0 is full; open columns: \[1, 2, 3, 4, 5, 6\]"):
        env.step(0)
    assert env.board == before and env.step(1)[4]["column"] == 1


@pytest.mark.parametrize("action", [3, np.int64(3), np.array(3)])
def test_columns_may_be_any_integers(action):
    env = ConnectFourEnv(opponent=leftmost)
    env.reset()
    assert env.step(action)[4]["column"] == 3


@pytest.mark.parametrize("action", [-1, 7, 3.0, "3", None, np.array([3]), np.zeros(7)])
def test_what_is_no_column_is_named(action):
    env = ConnectFourEnv(opponent=leftmost)
    env.reset()
    with pytest.raises(ValueError, match="action must be a column, an integer 0 to 6, got"):
        env.step(action)
    assert env.board == Board()


def test_steps_need_a_running_game():
    env = ConnectFourEnv(opponent=leftmost)
    with pytest.raises(ResetNeeded, match=r"reset\(\) before the first"):
        env.step(0)
    play(env, lambda board, step: 3)
    with pytest.raises(ResetNeeded, match="over"):
        env.step(0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"opponent": "espr"}, "one of esper, optimal, eps-greedy, random, got 'espr'"),
        ({"opponent": 3}, "got 3"),
        ({"opponent": Optimal}, "instance"),
        ({"illegal": "ignore"}, "illegal must be one of"),
        ({"epsilon": 1.5}, r"epsilon .* \[0, 1\], got 1.5"),
        ({"epsilon": "0.1"}, "epsilon"),
        ({"epsilon": float("nan")}, "epsilon"),
        ({"render_mode": "human"}, "render_mode .*'ansi', 'rgb_array'.* got 'human'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConnectFourEnv(**arguments)


def test_own_opponents_are_asked_with_the_board_and_the_environments_generator():
    seen = []

    class Mine:
        def reply(self, board, rng):
            seen.append((board, rng))
            return np.int64(6)

    env = ConnectFourEnv(opponent=Mine())
    env.reset(seed=0)
    assert env.step(1)[4]["opponent_column"] == 6
    assert seen == [(Board.from_moves("1"), env.np_random)]


@pytest.mark.parametrize("choice", [7, -1, 2.5, None])
def test_opponents_without_a_column_are_named_and_change_nothing(choice):
    env = ConnectFourEnv(opponent=lambda board, rng: choice)
    env.reset()
    with pytest.raises(ValueError, match=f"the opponent .* returned {choice}, expected a column"):
        env.step(0)
    assert env.board == Board()


def test_games_start_from_given_positions():
    env = ConnectFourEnv(opponent=leftmost)
    moves = "3344"
    observation, info = env.reset(options={"moves": moves})
    assert np.array_equal(observation, Board.from_moves(moves).observation())
    grid = Board.from_moves(moves).grid()
    assert np.array_equal(env.reset(options={"board": grid})[0], observation)
    assert np.array_equal(env.reset(options={"moves": [3, 3, 4, 4]})[0], observation)
    _, info = env.reset(options=COLUMN_0_FULL)
    assert info["action_mask"].tolist() == [0, 1, 1, 1, 1, 1, 1]
    observation, info = env.reset(options={})
    assert not observation.any() and info["action_mask"].all()


FLOATING = np.eye(6, 7, 1, dtype=int)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"move": "33"}, r"either 'moves' or 'board', got \['move'\]"),
        ({"moves": "33", "board": FLOATING}, "either"),
        ({"moves": "333"}, "3 discs leave the opponent to move"),
        ({"moves": "37"}, "move 2 .* out of range"),
        ({"moves": "3x"}, "move 2"),
        ({"moves": "33333333"}, "move 7 .* full"),
        ({"moves": "30303030"}, "move 8 .* over"),
        ({"moves": "40010203"}, "over in that position"),
        ({"moves": 33}, "moves"),
        ({"moves": None}, "moves"),
        ({"board": FLOATING}, "floats"),
        ({"board": np.zeros((7, 6))}, "shape"),
        ({"board": "33"}, "shape"),
    ],
)
def test_impossible_starts_are_named(options, message):
    env = ConnectFourEnv(opponent=leftmost)
    with pytest.raises(ValueError, match=message):
        env.reset(options=options)


@pytest.mark.parametrize(
    "opponent",
    ["random", *(pytest.param(name, marks=searches) for name in ("esper", "eps-greedy"))],
)
def test_seed_fixes_the_games_whatever_came_before(opponent):
    def games(env, seed):
        env.reset(seed=seed)
        return [play(env, lambda board, step: 6 if step < 5 else 3) for _ in range(6)]

    one, other = ConnectFourEnv(opponent, epsilon=0.5), ConnectFourEnv(opponent, epsilon=0.5)
    play(other, lambda board, step: 3, seed=9)
    np.random.seed(0)  # the global generator plays no part
    first = games(one, 1)
    np.random.seed(1)
    assert games(other, 1) == first
    assert any(games(one, seed) != first for seed in range(2, 6))


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])
def test_copies_go_on_as_the_original_does(duplicate):
    env = ConnectFourEnv("random")
    env.reset(seed=0)
    env.step(3), env.step(3)
    twin = duplicate(env)
    assert twin.board == env.board
    for action in (2, 4):
        for ours, theirs in zip(env.step(action), twin.step(action), strict=True):
            np.testing.assert_equal(ours, theirs)
    assert env.reset()[0].sum() == 0 and twin.board.ply > 0  # nothing is shared


def test_vector_environments_collect_the_info():
    envs = gymnasium.make_vec(
        "lpt_envs:lpt/ConnectFour-random-v0", num_envs=3, vectorization_mode="sync"
    )
    _, info = envs.reset(seed=0)
    assert info["action_mask"].shape == (3, 7)
    observations, *_, info = envs.step(np.array([0, 3, 6]))
    assert observations.shape == (3, 84) and info["column"].tolist() == [0, 3, 6]
    envs.close()


# The protocol's opponent


def test_esper_deviates_only_where_column_6_is_best_and_then_in_one_of_five():
    threatened = Board.from_moves("60606")  # the agent has three in column 6
    assert best_move(threatened) == 6
    rng = np.random.default_rng(0)
    count = 20_000
    replies = np.array([Esper().reply(threatened, rng) for _ in range(count)])
    share = np.bincount(replies, minlength=7) / count
    assert abs((1 - share[6]) - 0.2) < 4 * np.sqrt(0.16 / count)
    assert np.abs(share[:6] - 0.2 / 6).max() < 4 * np.sqrt(0.0333 / count)
    elsewhere = Board.from_moves("30303")  # column 3 must be blocked
    state = rng.bit_generator.state
    assert {Esper().reply(elsewhere, rng) for _ in range(200)} == {3}
    assert rng.bit_generator.state == state  # no random number is drawn there


def test_espers_blunders_into_a_full_column_become_the_leftmost_open_one():
    board = Board.from_moves("00000062626")  # column 0 is full, 6 must be blocked
    assert best_move(board) == 6
    rng = np.random.default_rng(0)
    share = np.bincount([Esper().reply(board, rng) for _ in range(20_000)], minlength=7) / 20_000
    assert share[0] == 0 and share[1] == pytest.approx(2 * 0.2 / 6, abs=0.008)


def test_eps_greedy_and_random_opponents_draw_uniform_open_columns():
    board = Board.from_moves("00000032323")  # column 0 is full, 3 must be blocked
    rng = np.random.default_rng(0)
    for opponent, epsilon in ((make_opponent("random"), 1.0), (EpsGreedy(0.3), 0.3)):
        share = np.bincount([opponent.reply(board, rng) for _ in range(20_000)]) / 20_000
        expected = np.full(7, epsilon / 6)
        expected[0], expected[3] = 0, 1 - epsilon * 5 / 6
        assert np.abs(share - expected).max() < 0.012


# Known figures, with the real solver


def specialized(seed):
    """The data's gambler: column 6 for five moves, then with probability 0.1, else 0 to 5."""
    rng = np.random.default_rng(seed)
    return lambda board, step: 6 if step < 5 or rng.random() < 0.1 else int(rng.integers(6))


@searches
@pytest.mark.parametrize("opponent", OPPONENTS)
def test_perfect_play_beats_every_opponent(opponent):
    games = {"optimal": 1, "esper": 8}.get(opponent, 3)
    assert mean_return(ConnectFourEnv(opponent), lambda b, step: best_move(b), games) == 1.0


@searches
@pytest.mark.parametrize(
    ("first", "value"), [(0, -1), (1, -1), (2, 0), (3, 1), (4, 0), (5, -1), (6, -1)]
)
def test_value_of_a_first_move_with_perfect_play_thereafter(first, value):
    def agent(board, step):
        return best_move(board) if step else first

    assert play(ConnectFourEnv("optimal"), agent)[0] == value


def test_the_specialized_player_gambles_for_about_minus_0_60():
    env = ConnectFourEnv("esper")
    assert mean_return(env, specialized(0), 2000) == pytest.approx(-0.60, abs=0.06)


@searches
def test_the_random_player_nearly_always_loses():
    rng = np.random.default_rng(0)
    score = mean_return(ConnectFourEnv("esper"), lambda board, step: int(rng.integers(7)), 60)
    assert score <= -0.95  # -0.997 over many games
