"""Configurations: their errors are one line, and files, trees and flags say the same."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lpt.config import (
    Config,
    DatasetConfig,
    ModelConfig,
    changes,
    from_tree,
    merge,
    preset,
    presets,
    read_config,
    to_tree,
)
from lpt.config.command_line import Resume, parse, parse_config
from lpt.config.loaders import UniqueKeys
from lpt.config.presets import starting_point

UMAZE = ["--env", "maze2d-umaze"]


@pytest.fixture
def odd() -> Config:
    """Values of every kind, none of them a default."""
    base = Config(task="toy")
    return replace(
        base,
        out=Path("a folder/run"),
        label="wide-1.5",
        training=replace(
            base.training, learning_rate=1e-7, evaluate_every=0, observation_noise_raw=(0.04, 0.2)
        ),
        evaluation=replace(base.evaluation, target=-1.5, sweep=(), deterministic=False),
        dataset=replace(base.dataset, standardize_observations=False, horizon=30, rest=(0, 3)),
        model=replace(
            base.model,
            prior_multipliers=(1, 3),
            inputs="states",
            frequencies=2,
            frequency_dims=(0, 1),
        ),
    )


def error_of(tree) -> str:
    with pytest.raises(ValueError) as caught:
        from_tree(tree, "here.yaml")
    error = str(caught.value)
    assert "\n" not in error and error.startswith("here.yaml: ")
    return error


# Trees


@pytest.mark.parametrize("task", sorted(presets()))
def test_every_preset_is_its_tree_and_survives_yaml_and_json(task):
    config = preset(task)
    assert config.task == task
    assert from_tree(to_tree(config)) == config
    assert from_tree(yaml.safe_load(yaml.safe_dump(to_tree(config)))) == config
    assert from_tree(json.loads(json.dumps(to_tree(config)))) == config


def test_odd_values_survive_yaml(odd):
    tree = yaml.safe_load(yaml.safe_dump(to_tree(odd)))
    assert from_tree(tree) == odd and to_tree(from_tree(tree)) == tree


def test_what_a_tree_lacks_has_its_default_and_text_is_read_as_numbers():
    config = from_tree({"task": "toy", "training": {"learning_rate": "1e-4"}, "updates": 3.0})
    assert config.training.learning_rate == 1e-4 and config.updates == 3
    assert config.training.warmup == Config(task="toy").training.warmup


@pytest.mark.parametrize(
    ("tree", "told"),
    [
        ({"updatse": 5}, ["updatse=5 is no setting", "did you mean updates?"]),
        ({"model": {"widht": 3}}, ["model.widht=3 is no setting", "did you mean model.width?"]),
        ({"modle": {"width": 3}}, ["modle={'width': 3} is no setting", "did you mean model?"]),
        ({"learning_rate": 0.1}, ["learning_rate=0.1", "did you mean training.learning_rate?"]),
        ({"nonsense": 1}, ["nonsense=1 is no setting; lpt-train --help lists them"]),
        ({"engine": "amortzed"}, ["engine='amortzed'", "'langevin'", "did you mean amortized?"]),
        ({"planning": {"method": "magic"}}, ["planning.method='magic': expected", "'aggregated'"]),
        ({"updates": "many"}, ["updates='many': ", "integer"]),
        ({"training": {"compile": "perhaps"}}, ["training.compile='perhaps': ", "bool"]),
        ({"evaluation": {"sweep": [1, "x"]}}, ["evaluation.sweep.1='x': ", "number"]),
        ({"model": 3}, ["model=3: "]),
        ({"planning": {"weight": -1}}, ["planning.weight=-1", "must be positive"]),
        ({"updates": 0}, ["--updates 0: a run needs at least one update"]),
        ({"label": "../up"}, ["--label '../up'"]),
        ({"task": "../up"}, ["--task '../up'"]),
        ({"task": None}, ["task=None"]),
    ],
)
def test_a_wrong_setting_is_named_with_its_value_and_the_nearest(tree, told):
    error = error_of({"task": "toy", **tree})
    assert all(words in error for words in told), error


def test_a_tree_without_a_task_says_so():
    assert "task is missing" in error_of({"updates": 5})


def test_a_long_value_is_cut():
    assert len(error_of({"task": "toy", "nonsense": "x" * 1000})) < 200


def test_changes_are_told_by_dotted_names():
    old = to_tree(preset("maze2d-umaze"))
    new = merge(old, {"seed": 3, "model": {"width": 8}, "extra": 1})
    width = old["model"]["width"]
    assert changes(old, new) == {"seed": (0, 3), "model.width": (width, 8), "extra": (None, 1)}
    assert changes(old, old) == {} and changes(new, old)["seed"] == (3, 0)


# Files


def test_a_stored_configuration_is_read_again(odd, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(to_tree(odd)))
    assert read_config(path) == odd


def test_a_setting_that_stands_twice_in_a_file_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("task: toy\nupdates: 3\nupdates: 30\n")
    with pytest.raises(ValueError, match=r"'updates' stands twice, keep one.*line 3"):
        read_config(path)


def test_what_a_merge_brings_may_be_overridden():
    text = "a: &a {x: 1}\nouter: {inner: &b {<<: *a, x: 2}}\nc: {<<: *b, y: 3}\n1: one\n'1': text"
    read = yaml.load(text, UniqueKeys)
    assert read["c"] == {"x": 2, "y": 3} and (read[1], read["1"]) == ("one", "text")
    with pytest.raises(yaml.YAMLError, match="'x' stands twice"):
        yaml.load("- {y: 1}\n- {x: 1, x: 2}", UniqueKeys)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file: give the config.yaml of a run's folder"),
        ("a: [", "is not YAML: "),
        ("- 1", "expected settings by name, such as task: maze2d-umaze"),
        ("task: toy\nmodel: {widht: 3}", "config.yaml: model.widht=3 is no setting"),
        ("updates: 3", "config.yaml: task is missing"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused_in_one_line(text, message, tmp_path):
    path = tmp_path / "config.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises((ValueError, FileNotFoundError)) as caught:
        read_config(path)
    error = str(caught.value)
    assert message in error and str(path) in error and "\n" not in error


# Flags


def test_flags_beat_presets_wherever_they_stand():
    before = parse_config(["--seed", "7", *UMAZE, "--posterior.prior-weight=1e-2"])
    after = parse_config(["--posterior.prior-weight", "0.01", "--env=maze2d-umaze", "--seed=7"])
    assert before == after and before.seed == 7 and before.posterior.prior_weight == 0.01
    assert before.posterior == replace(preset("maze2d-umaze").posterior, prior_weight=0.01)


def test_held_steps_and_tilted_draws_are_asked_for_by_flags():
    flags = "--dataset.held-steps 40 --sampler.label-tilt 5 --sampler.counted-steps 240".split()
    config = parse_config([*UMAZE, *flags])
    assert config.dataset.held_steps == 40
    assert config.dataset.rest == (2, 3)  # the velocities, by the preset
    assert (config.sampler.label_tilt, config.sampler.counted_steps) == (5.0, 240)
    assert parse_config([*UMAZE, "--dataset.rest", "1"]).dataset.rest == (1,)


def test_task_is_env():
    config = parse(["--env", "maze2d-umaze"])
    assert config == preset("maze2d-umaze")
    for flags in (["--task", "maze2d-umaze"], ["--task=maze2d-umaze"], ["--env=maze2d-umaze"]):
        assert parse(flags) == config


def test_a_repeated_env_takes_the_preset_of_the_last():
    config = parse_config(["--env", "maze2d-umaze", "--env=maze2d-large"])
    assert (config.task, config.evaluation.target) == ("maze2d-large", 640.0)


def test_a_task_of_ones_own_needs_its_data():
    assert parse(["--env", "mine", "--source", "mine.npz"]).source == "mine.npz"
    with pytest.raises(
        ValueError, match=r"no preset for task 'mine': choose one of .*maze2d-umaze"
    ):
        parse(["--env", "mine"])


def test_flags_of_version_0_1_mean_the_same_and_say_so(capsys):
    new = parse([*UMAZE, "--source", "a.npz", "--engine", "amortized", "--updates", "5"])
    assert not capsys.readouterr().err
    spaced = ["--data", "a.npz", "--inference", "amortised", "--steps", "5"]
    joined = ["--data=a.npz", "--inference=amortised", "--steps=5"]
    for old in (spaced, joined):
        assert parse([*UMAZE, *old]) == new
        said = capsys.readouterr().err.splitlines()
        for flag, name in (("data", "source"), ("inference", "engine"), ("steps", "updates")):
            assert sum(f"--{flag} is --{name} now" in line for line in said) == 1, said
        assert all("version 0.3" in line for line in said)
    for old in (["--inference", "langevin"], ["--inference=langevin"]):  # it was the paper's
        assert parse([*UMAZE, *old]).engine == "langevin-paper"


def test_a_stored_configuration_is_run_again_and_flags_go_on_top(odd, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(to_tree(odd)))
    assert parse(["--config", str(path)]) == parse([f"--config={path}"]) == odd
    again = parse(["--seed", "4", "--config", str(path), "--model.width", "32"])
    assert again == replace(odd, seed=4, model=replace(odd.model, width=32))
    with pytest.raises(FileNotFoundError, match="no such file"):
        parse(["--config", str(tmp_path / "none.yaml")])


def test_resuming_takes_where_things_are_and_nothing_else():
    places = ["--source", "there.npz", "--device", "cpu", "--results", "results"]
    expected = Resume(resume=Path("run"), source="there.npz", device="cpu", results=Path("results"))
    assert parse(["--resume", "run", *places]) == expected
    assert parse(["--resume=run", *UMAZE]) == Resume(resume=Path("run"))
    with pytest.raises(ValueError, match=r"leave out --model\.width, --updates \(only --source"):
        parse(["--resume", "run", "--updates", "9", "--model.width=32"])


@pytest.mark.parametrize(
    ("flags", "word"),
    [
        (["--model.widht", "3"], "--model.widht"),
        (["--engine", "magic"], "magic"),
    ],
)
def test_the_parser_refuses_what_cannot_be(flags, word, capsys):
    with pytest.raises(SystemExit) as stop:
        parse([*UMAZE, *flags])
    said = capsys.readouterr()
    assert stop.value.code == 2
    assert word in " ".join((said.out + said.err).split())


def test_choices_are_checked_in_python_too():
    for field in ("engine", "algorithm", "device"):
        with pytest.raises(ValueError, match=f"{field} is 'zz', expected .* or "):
            Config(task="toy", **{field: "zz"})


def test_flags_without_their_value_and_contradictions_are_refused(odd, tmp_path):
    for flag, what in (("--resume", "a run's folder"), ("--config", "a YAML file")):
        for arguments in ([flag], [flag, "--seed", "1"]):
            with pytest.raises(ValueError, match=f"{flag} has no value: give {what}"):
                parse(arguments)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(to_tree(odd)))
    with pytest.raises(ValueError, match="leave out one of them"):
        parse(["--config", str(path), "--env", "maze2d-large"])
    with pytest.raises(FileNotFoundError, match="a folder"):
        parse(["--config", str(tmp_path)])


def test_a_task_of_ones_own_begins_with_plain_settings_where_its_data_are_given():
    plain = starting_point("mine", has_source=True)
    assert (plain.task, plain.preset, plain.model.likelihood) == ("mine", "plain", "auto")
    assert starting_point("maze2d-umaze", has_source=True) == preset("maze2d-umaze")
    with pytest.raises(ValueError, match="a task of your own needs its data"):
        starting_point("mine", has_source=False)


def test_unset_discrete_actions_are_drawn_and_continuous_ones_are_modes():
    plain = starting_point("mine", has_source=True).evaluation
    assert plain.deterministic is None
    assert plain.acts_by_mode(discrete=False) and not plain.acts_by_mode(discrete=True)
    assert replace(plain, deterministic=True).acts_by_mode(discrete=True)


def test_arrival_steps_need_a_context_of_one():
    held = DatasetConfig(returns="held", held_steps=4, arrival_steps=2)
    with pytest.raises(ValueError, match=r"without history, but model\.context is 4 and"):
        Config(task="toy", dataset=held, model=ModelConfig(context=4))
    with pytest.raises(ValueError, match="states-and-actions: set them to 1 and"):
        Config(task="toy", dataset=held, model=ModelConfig(context=1))
    fitting = ModelConfig(context=1, inputs="states")
    assert Config(task="toy", dataset=held, model=fitting).dataset == held


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("hopper-medium-v2", "hopper-medium"),
        ("maze2d-umaze-v1", "maze2d-umaze"),
        ("maze2d-umaze-sparse-v1", "maze2d-umaze"),
    ],
)
@pytest.mark.parametrize("source", [[], ["--source", "mine.npz"]])
def test_a_version_does_not_hide_the_preset(name, of, source):
    assert replace(parse(["--env", name, *source]), source="auto") == replace(preset(of), task=name)


@pytest.mark.parametrize("source", [[], ["--source", "mine.npz"]])
def test_a_mistyped_task_is_refused_unless_its_preset_is_said(source):
    with pytest.raises(ValueError, match=r"'maze2d-umase': did you mean maze2d-umaze\?"):
        parse(["--env", "maze2d-umase", *source])
    kept = parse(["--env", "maze2d-umase", *source, "--preset", "plain"])
    assert (kept.task, kept.preset) == ("maze2d-umase", "plain")


def test_a_preset_is_of_a_family_or_of_another_task():
    config = parse(["--env", "mine", "--preset", "maze2d", "--seed", "3"])
    own = preset("maze2d-umaze")
    assert (config.task, config.preset, config.seed) == ("mine", "maze2d", 3)
    assert config.proposal == own.proposal and config.evaluation.target is None
    other = parse(["--env=mine", "--preset=maze2d-umaze"])
    assert other == replace(own, task="mine") and other.run.parts[1] == "mine"
    with pytest.raises(ValueError, match=r"no preset 'maze': did you mean maze2d.*There are "):
        parse(["--env", "mine", "--preset", "maze"])


@pytest.mark.parametrize("task", ["connect-four", "hopper-medium-replay", "maze2d-umaze-v1"])
def test_the_papers_settings_are_taken_by_name_only(task):
    paper, own = parse(["--env", task, "--preset", "paper"]), parse(["--env", task])
    assert (paper.task, paper.preset, paper.label) == (task, "paper", "paper")
    assert paper.preset not in (own.preset, own.label)
    assert (paper.engine, paper.dataset.returns) == ("langevin-paper", "recorded")
    assert (paper.sampler.batch_trajectories, paper.sampler.segments) == (500, 0)
    assert (paper.planning.method, paper.planning.steps) == ("langevin", 20)
    assert paper.model.prior_width == 16 and paper.training.warmup == paper.updates // 10
    targets = {"connect-four": 1, "hopper-medium-replay": 3600, "maze2d-umaze-v1": 165}
    assert paper.evaluation.target == targets[task]


def test_a_family_says_of_its_tasks_what_their_presets_do():
    family, own = parse(["--env", "maze2d-large", "--preset", "maze2d"]), preset("maze2d-large")
    assert family == replace(own, preset="maze2d")


def test_a_preset_beside_a_stored_configuration_is_refused(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("task: toy")
    with pytest.raises(ValueError, match=r"--preset plain beside --config .*leave out one"):
        parse(["--config", str(path), "--preset", "plain"])
