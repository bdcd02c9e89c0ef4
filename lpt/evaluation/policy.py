"""Acting with a trained model: plan once, then one step at a time with a rolling cache.

Stateful, for a loop of one's own::

    policy = LPTPolicy.load("runs/maze2d-umaze/langevin-seed0")
    policy.reset()                       # a new episode with a plan of its own
    action = policy.act(observation)     # once a step

or stateless, with stable-baselines3's `predict` contract, for one or many environments at once.
No reward, return-to-go or data set is needed at test time: the plan is inferred from a target
return before the first step, and statistics come from the checkpoint. The one exception is the
baseline `dt`: its environment must be wrapped in `lpt.evaluation.ReturnToGo`, which also holds its
target.
"""

from __future__ import annotations

import copy
import dataclasses
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from lpt.algorithms import find_algorithm
from lpt.checkpoint.files import (
    POLICY_JSON,
    Which,
    load_policy_files,
    policy_folder,
    save_policy,
)
from lpt.checkpoint.metadata import PolicyMetadata
from lpt.config import PlanningConfig
from lpt.config.trust import check_environment
from lpt.data.action_bounds import ActionBounds
from lpt.evaluation.checks import observation_rows
from lpt.evaluation.environments import MakeEnvironment, check_spaces, policy_environment
from lpt.evaluation.fitting import check_weights
from lpt.evaluation.planner import Planner
from lpt.evaluation.state import PolicyState, SparePlans
from lpt.machine.files import check_replaceable
from lpt.model import Model
from lpt.model.actions import ActionDistribution, Categorical
from lpt.model.generator import RolloutCache


class LPTPolicy(Planner):
    """A trained Latent Plan Transformer as a policy.

    Each row (environment) is planned for once, at its first step. A later episode in the row, which
    `episode_start` announces, begins with an empty history. Its plan is the same or, where plans
    are drawn and so differ, the next of a batch made in advance; `replan` decides otherwise. No
    plan is made because `episode_start` is true: `evaluate_policy` of stable-baselines3 leaves it
    true for ever in environments that have finished their episodes.
    """

    def __init__(
        self,
        model: Model,
        metadata: PolicyMetadata,
        planning: PlanningConfig | None = None,
        target: float | None = None,
        device: str | torch.device = "cpu",
        seed: int = 0,
        replan: bool | None = None,
    ) -> None:
        """Wrap a model.

        Args:
            model: the model, moved to `device`. It may be training at the same time: dropout is
                off during every call of the policy and the model's mode is put back after it.
            metadata: spaces, statistics and configuration.
            planning: how to plan; unset: as configured for the run.
            target: return to plan for, raw units; unset: the configured one, or else the data's
                99 % quantile.
            device: `cpu`, `cuda`, `mps` or `auto`.
            seed: seed of planning and of sampled actions.
            replan: give every episode of a row a new plan; unset: where plans differ.

        Raises:
            ValueError: if the device is not there or the target is not a finite number.
        """
        super().__init__(model, metadata, planning, target, device, seed)
        self._replan, self._warned = replan, False
        self._stateless: np.ndarray | None = None
        self._mean, self._std = (
            torch.tensor(x, dtype=torch.float32, device=self.device)
            for x in (metadata.observation_mean, metadata.observation_std)
        )
        details = {} if self.spaces.discrete else metadata.provenance.get("details", {})
        self.action_bounds = ActionBounds.of_details(details)
        self._spare = SparePlans(self.model)
        self._state: PolicyState | None = None

    @classmethod
    def load(
        cls,
        path: Path | str,
        which: Which = "last",
        device: str | torch.device = "cpu",
        **kwargs: Any,
    ) -> LPTPolicy:
        """Load the policy of a run folder or a checkpoint folder.

        Args:
            path: `runs/<task>/<engine>-seed<k>` or a checkpoint inside it; `pretrained:NAME` for
                a policy that the package ships; `hf:USER/NAME` for one of the Hugging Face Hub.
            which: `last` or `best` checkpoint of a run.
            device: `cpu`, `cuda`, `mps` or `auto`.
            **kwargs: `planning`, `target`, `seed` and `replan` as in the constructor.

        Raises:
            FileNotFoundError: if there is no policy at `path`; says what is there.
            ValueError: if the files are damaged or do not belong together.
        """
        folder = policy_folder(path, which)
        weights, metadata = load_policy_files(folder)
        check_weights(weights, metadata, str(folder))
        model = find_algorithm(metadata.algorithm).build(metadata.config.model, metadata.spaces)
        model.load_state_dict(weights)
        return cls(model.eval(), metadata, device=device, **kwargs)

    def save(self, folder: Path | str, *, overwrite: bool = False) -> Path:
        """Write a folder that `load` reads: weights, statistics, and planning and target as now.

        Raises:
            FileExistsError: the folder exists and `overwrite` is False, or it holds something else
                than a policy.
        """
        check_replaceable(Path(folder), POLICY_JSON, overwrite)
        config = self.metadata.config
        asked = dataclasses.replace(config.evaluation, target=self.target)
        config = dataclasses.replace(config, planning=self.planning, evaluation=asked)
        metadata = dataclasses.replace(self.metadata, config=config)
        return save_policy(folder, self.model.state_dict(), metadata)

    @property
    def observation_space(self) -> spaces.Box:
        """What `predict` takes, raw units."""
        size = (self.spaces.observation_dim,)
        return spaces.Box(-np.inf, np.inf, size, np.float32)

    @property
    def action_space(self) -> spaces.Space[Any]:
        """What `predict` gives, in the units of the data's environment."""
        if self.spaces.discrete:
            return spaces.Discrete(self.spaces.action_dim)
        bounds = self.action_bounds or ActionBounds.unit(self.spaces.action_dim)
        return spaces.Box(bounds.low, bounds.high, dtype=np.float32)

    @property
    def replan(self) -> bool:
        """Whether each episode of a row gets a new plan."""
        drawn = self.planning.sample or self.planning.method != "variational"
        own = self.algorithm.infers_plans and drawn
        return own if self._replan is None else self._replan

    @replan.setter
    def replan(self, replan: bool | None) -> None:
        self._replan = replan

    def __repr__(self) -> str:
        sizes = self.spaces
        actions = f"Discrete({sizes.action_dim})" if sizes.discrete else f"[{sizes.action_dim}]"
        plans = f", {self.planning.method} plans, weight={self.used_weight():g}"
        return (
            f"LPTPolicy({self.metadata.task}, {self.algorithm.name}, "
            f"{self.metadata.updates} updates, observation [{sizes.observation_dim}], action "
            f"{actions}, target={self.target:g}{plans if self.algorithm.infers_plans else ''}, "
            f"{self.device})"
        )

    @property
    def own_environment(self) -> str:
        """The id of the environment that the checkpoint names.

        Raises:
            ValueError: if it names none, or one of a package that is not known.
        """
        if self.metadata.env_id is None:
            raise ValueError("the checkpoint names no environment: give env, such as 'Hopper-v4'")
        return check_environment(self.metadata.env_id, f"the checkpoint of {self.metadata.task}")

    def environment(
        self, env: str | MakeEnvironment | None = None, target: float | None = None, **options: Any
    ) -> gymnasium.Env:
        """Make an environment with the observations that the policy was trained on.

        Args:
            env: gymnasium id, or a function that makes the environment; unset: the one of the data.
            target: return asked for, raw units (`dt` only); unset: the policy's.
            **options: of `gymnasium.make`, such as `render_mode`.

        Raises:
            ValueError: if the environment is not registered or cannot be built, or none is given
                and the checkpoint's own would run unknown code (`lpt.config.trust`).
        """
        env = self.own_environment if env is None else env
        asked = self.target if target is None else target
        return policy_environment(self.metadata, env, asked, **options)

    def check(self, env: gymnasium.Env) -> None:
        """Check that an environment has the spaces the policy was trained on.

        Raises:
            ValueError: if not; says which space, what it is and what the policy expects.
        """
        check_spaces(env, self.spaces, self.metadata.task, self.action_bounds)

    def begin(self, z: Tensor) -> PolicyState:
        """Start one episode for each plan `[B, N, D]` (`policy.plan(...).z`)."""
        with self.evaluation_mode(), torch.inference_mode():
            cache = self.model.begin(z.to(self.device))
            previous = torch.zeros(len(z), self.spaces.action_dim, device=self.device)
            return PolicyState(cache, previous)

    def predict(
        self,
        observation: Any,
        state: PolicyState | None = None,
        episode_start: Any = None,
        deterministic: bool | None = None,
    ) -> tuple[Any, PolicyState]:
        """Next actions, as stable-baselines3's `predict`.

        Args:
            observation: `[obs]` of one environment or `[n, obs]` of many, raw units.
            state: what the call before returned; None plans and begins new episodes.
            episode_start: `[n]` true where a new episode begins; None: nowhere.
            deterministic: the mode of the action likelihood, else a draw from it; None: as the
                policy is evaluated.

        Returns:
            Actions `[act]` or `[n, act]` float32 in the units of the data's environment, or
            integers (`[n]` int64) if discrete, and the new state. The state given is not changed.

        Raises:
            ValueError: for observations of a wrong shape or not finite, or a state that belongs to
                another number of environments.
        """
        if deterministic is None:
            evaluation = self.metadata.config.evaluation
            deterministic = evaluation.acts_by_mode(self.spaces.discrete)
        with self.evaluation_mode(), torch.inference_mode():
            actions, cache = self._step(observation, state, episode_start)
            self._warn_of_lost_state(np.asarray(observation), state)
            action = actions.mode() if deterministic else actions.sample(self.generator)
            discrete, bounds = self.spaces.discrete, self.action_bounds
            previous = F.one_hot(action, self.spaces.action_dim).float() if discrete else action
        result = action.cpu().numpy()
        # Never the state's own memory: a caller may rescale the action in place.
        result = result.copy() if bounds is None else bounds.from_unit(result)
        return (result[0] if np.ndim(observation) == 1 else result), PolicyState(cache, previous)

    def probabilities(self, observation: Any, state: PolicyState | None = None) -> np.ndarray:
        """Probabilities `[n, actions]` of the discrete actions that `predict` draws from.

        Args:
            observation: `[obs]` or `[n, obs]`, raw units.
            state: as in `predict`; it is not changed.

        Raises:
            ValueError: as `predict`, and where actions are continuous.
        """
        if not self.spaces.discrete:
            raise ValueError(f"{self.metadata.task} has continuous actions: use predict")
        with self.evaluation_mode(), torch.inference_mode():
            actions, _ = self._step(observation, state, None)
        assert isinstance(actions, Categorical)
        return actions.logits.softmax(-1).cpu().numpy()

    def _step(
        self, observation: Any, state: PolicyState | None, episode_start: Any
    ) -> tuple[ActionDistribution, RolloutCache]:
        """Return action distributions of every row's next step, and a cache that has seen it."""
        hint = self.algorithm.observation_hint
        array = observation_rows(observation, self.spaces.observation_dim, self.metadata.task, hint)
        if state is None:
            with torch.inference_mode(False), torch.enable_grad():
                state = self.begin(self.plan(n=len(array)).z)
        if state.rows != len(array):
            raise ValueError(
                f"{len(array)} observations with a state of {state.rows} episodes: pass the state "
                "that predict returned for the same environments, or state=None to begin"
            )
        cache = self._cache(state.cache, episode_start)
        standardized = (torch.from_numpy(array).to(self.device) - self._mean) / self._std
        return self.model.step(cache, standardized, state.previous_action), cache

    def _warn_of_lost_state(self, observation: np.ndarray, state: PolicyState | None) -> None:
        """Warn once of a loop that plans anew at every step because it drops the state."""
        before, self._stateless = self._stateless, observation.copy() if state is None else None
        if before is None or state is not None or self._warned:
            return
        if before.shape == observation.shape and not np.array_equal(before, observation):
            self._warned = True
            warnings.warn(
                "predict was called twice in a row without state, so each call made a new plan and "
                "forgot what came before: pass the state on, as in `action, state = "
                "policy.predict(observation, state)`, or use policy.reset() and policy.act()",
                stacklevel=3,  # the caller of predict
            )

    def reset(self, target: float | None = None, weight: float | None = None) -> None:
        """Begin a new episode of `act` with a new plan, for another target if given."""
        self._state = self.begin(self.plan(target, weight=weight).z)

    def act(self, observation: Any, deterministic: bool | None = None) -> Any:
        """Next action of the running episode of one environment; remembers the history.

        See `predict` for `deterministic`.
        """
        if self._state is None:
            self.reset()
        action, self._state = self.predict(observation, self._state, deterministic=deterministic)
        return action

    def _cache(self, cache: RolloutCache, episode_start: Any) -> RolloutCache:
        """Return a copy of the cache, with new episodes begun where `episode_start` is true."""
        cache = RolloutCache(
            cache.plans, [copy.copy(steps) for steps in cache.steps], cache.age.clone()
        )
        if episode_start is None:
            return cache
        starts = torch.as_tensor(np.asarray(episode_start, dtype=bool), device=self.device)
        if starts.shape != cache.age.shape:
            raise ValueError(
                f"episode_start has shape {tuple(starts.shape)}; expected one entry for each of "
                f"{len(cache.age)} environments"
            )
        # An environment that has finished under evaluate_policy starts anew at every call and
        # never gets past its first step: it needs no plan.
        played = starts & (cache.age > 1)
        if self.replan and played.any():
            self._spare.give(cache, played, lambda n: self.plan(n=n).z)
        cache.reset(starts)
        return cache
