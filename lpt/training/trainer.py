"""Learning: maximum likelihood of (trajectory, return) pairs with plans from posterior inference.

`grad log p(tau, y) = E_{p(z0 | tau, y)} grad log p(tau, y, z0)`: infer plans for a batch, then
climb the log joint at those plans. Chain and parameters see the same log joint in nats; the loss is
only divided by the mean length of a trajectory (or by the steps it counts as), so that it reads as
nats a step.

Both sums over steps are estimates (`lpt.data.sampling`), and what is a good draw differs: a chain
wants many steps of its own trajectory, parameters a few of many trajectories. With
`posterior.trajectories` each has a batch of its own: chains of some trajectories move, with many
steps each, and the parameters learn from others at the plans that their chains hold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from lpt.algorithms import find_algorithm
from lpt.algorithms.algorithm import LearningContext, LogLikelihood
from lpt.config import Config
from lpt.data import Batch, TrajectoryDataset
from lpt.inference.engines import PosteriorSample
from lpt.inference.noise import SharedNoise, noise_like
from lpt.machine.graphs import Recorded
from lpt.machine.precision import Function, compiled, in_precision
from lpt.machine.processes import Ranks
from lpt.model import LatentPlanTransformer, Model, Spaces
from lpt.training.average import WeightAverage
from lpt.training.batches import Batches
from lpt.training.history import split_history
from lpt.training.inputs import Inputs
from lpt.training.observation_noise import noise_deviation
from lpt.training.optimization import (
    build_optimizer,
    load_optimizer,
    optimizer_tensors,
    set_learning_rate,
)
from lpt.training.padding import in_groups
from lpt.training.recording import records_updates


def spaces_of(dataset: TrajectoryDataset) -> Spaces:
    """Return the model's view of a data set's spaces."""
    return Spaces(
        observation_dim=dataset.observation_dim,
        action_dim=dataset.action_dim,
        discrete=dataset.discrete,
    )


class Trainer:
    """Model, inference, optimizer and data, one `update` at a time; saved and resumed."""

    def __init__(
        self,
        config: Config,
        dataset: TrajectoryDataset,
        device: torch.device,
        ranks: Ranks | None = None,
        log: Callable[[str], None] = print,
    ) -> None:
        """Build everything from one seed.

        Args:
            config: the run's configuration.
            dataset: the trajectories.
            device: where model and chains' visits are computed.
            ranks: the processes that share the work; unset: this one alone.
            log: receives a line where a GPU's updates are not recorded.

        Raises:
            ValueError: if segments are needed and there are none, a setting does not fit the data's
                spaces, or precision, compilation or a CUDA graph are asked for that cannot be.
        """
        config.training.check_segments(config.sampler.segments)
        torch.manual_seed(config.seed)
        self.config, self.dataset, self.device = config, dataset, device
        self.ranks, self.updates = ranks or Ranks(), 0
        algorithm = find_algorithm(config.algorithm)
        self.model = algorithm.build(config.model, spaces_of(dataset)).to(device)
        self._noise_deviation = noise_deviation(
            config.training, dataset, algorithm.added_observations, device
        )
        self._log_actions = self._in_precision(self.model.log_actions)
        self._learning_log_actions = self._in_precision(self._learning_function())
        # Elsewhere each shape has a price of its own: launches, or a kernel compiled for it.
        plain = config.training.precision == "float32" and not config.training.compile
        self._grouped = plain and device.type == "cpu"
        self.noise = SharedNoise(torch.Generator(device).manual_seed(config.seed))
        self.views = SharedNoise(torch.Generator().manual_seed(config.seed))
        self.inference = algorithm.inference(
            LearningContext(
                config=config,
                model=self.model,
                dataset=dataset,
                device=device,
                ranks=self.ranks,
                views=self.views,
            )
        )
        engine = self.inference.engine
        self._chains = None if engine is None else engine.chains
        self.batches = Batches(config, dataset, self.ranks, self._chains)
        self.average = WeightAverage(self.model, config.training.average)
        recorded = records_updates(config, dataset, device, self.ranks, engine, log)
        self.optimizer = build_optimizer(self._parameters(), config.training, device, recorded)
        self._recorded = (
            Recorded(self._learn, device, [self.noise.generator], log) if recorded else None
        )
        counted = config.sampler.counted_steps
        self.scale = 1.0 / (counted or float(dataset.learned_lengths.mean()))
        self._part_dropout()

    def _learning_function(self) -> Any:
        """Return what learning scores actions with.

        Chains and diagnoses run as written: a compiled backward pass would also compute the
        parameters' gradients, which they do not need.
        """
        if not self.config.training.compile:
            return self.model.log_actions
        if self.config.posterior.trajectories:
            raise ValueError(
                "training.compile needs batches of one size, and with posterior.trajectories the "
                "first ones vary: leave it out, or set posterior.trajectories to 0"
            )
        if self.ranks.count > 1:  # with chains its rows vary, each number compiled anew
            raise ValueError("training.compile is for one process: leave it out under torchrun")
        return compiled(self.model.log_actions, self.device)

    def _in_precision(self, function: Function) -> Function:
        return in_precision(function, self.config.training.precision, self.device)

    @property
    def policy_model(self) -> Model:
        """The model with averaged weights, which the policy uses."""
        return cast(Model, self.average.module)

    def update(self) -> dict[str, Any]:
        """One parameter update; returns its scalars (tensors are left on the device)."""
        settings = self.config.training
        rate = set_learning_rate(self.optimizer, settings, self.updates, self.config.updates)
        given = self._next_inputs()
        if self._recorded is None:
            scalars = self._learn(given.to(self.device))
        else:
            cut = self.updates < settings.history_dropout_updates
            scalars = self._recorded(given, phase=cut)
        self.average.n_averaged += 1
        self.updates += 1
        weight = given.prior_weight
        return {**scalars, "optim/learning_rate": rate, "optim/prior_weight": weight}

    @contextmanager
    def unrecorded(self) -> Iterator[None]:
        """Have updates run as written meanwhile, so that their parts can be told apart."""
        kept, self._recorded = self._recorded, None
        try:
            yield
        finally:
            self._recorded = kept

    def _next_inputs(self) -> Inputs:
        """Draw the next batches on the CPU, and what else the update reads from the host."""
        moved = self.batches.to_infer()
        return Inputs(
            moved=moved,
            seen=self.inference.look(moved),
            own=self.batches.to_learn(self.updates),
            prior_weight=self.config.posterior.weight_at(self.updates),
            share=self.average.next_share(),
        )

    def _learn(self, given: Inputs) -> dict[str, Any]:
        """Infer, climb, average: the update's work on the device, which nothing here waits for.

        What it does is decided by shapes and by the number of updates, never by what tensors hold.
        """
        moved = self._with_noise(given.moved)
        posterior = self._infer(moved, given.seen, given.prior_weight)
        batch, z0 = moved, posterior.z0
        if given.own is not None:
            assert self._chains is not None
            batch = self._with_noise(given.own)
            z0 = self._chains.read(batch.index).to(self.device)
        self.model.train()
        log_actions, log_return = self.log_likelihood(z0, batch)
        means = [rows.sum() / len(batch.drawn) for rows in (log_actions, log_return)]
        loss = self.scale * (_share(posterior.penalty, moved) - (means[0] + means[1]))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        terms, transitions = torch.stack((loss, *means)).detach(), (batch.weight > 0).sum()
        self._sum_over_processes(terms, transitions)
        clip = self.config.training.gradient_clip
        norm = nn.utils.clip_grad_norm_(self._parameters(), clip)
        self.optimizer.step()
        self._remember(posterior.z0, moved)
        self.average.fold(self.model, given.share)
        return {
            "loss/total": terms[0],
            "loss/actions": -terms[1] * self.scale,
            "loss/return": -terms[2] / self.config.posterior.return_weight,
            "optim/gradient_norm": norm.detach(),
            "data/transitions": transitions,
            **posterior.diagnostics,
        }

    def _sum_over_processes(self, *scalars: Tensor) -> None:
        """Sum gradients and other tensors, of which each process has its rows' share."""
        if self.ranks.count == 1:
            return
        for parameter in self._parameters():  # not all are in every process's graph
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad for p in self._parameters() if p.grad is not None]
        self.ranks.sum([*gradients, *scalars])

    def of_all(self, part: Tensor, batch: Batch) -> Tensor:
        """Return the rows `[whole batch, ...]` of all processes, of which `part` are this one's."""
        return self.ranks.whole(part, batch.rows, len(batch.drawn))

    def _remember(self, z0: Tensor, batch: Batch) -> None:
        if isinstance(self.model, LatentPlanTransformer) and self.model.remembered.size:
            self.model.remembered.add(self.of_all(z0.detach(), batch))

    def joint(self, batch: Batch) -> LogLikelihood:
        """Return `log p(tau, y | z0)` of a batch as a function of `z0`."""
        return lambda z0: torch.stack(self.log_likelihood(z0, batch)).sum(0)

    def infer(self, batch: Batch, prior_weight: float) -> PosteriorSample:
        """Return plans for a batch `[B]`, by the engine; the model is evaluating afterwards."""
        seen = self.inference.look(batch)
        return self._infer(batch, None if seen is None else seen.to(self.device), prior_weight)

    def _infer(
        self, batch: Batch, seen: Tensor | None, prior_weight: float | Tensor
    ) -> PosteriorSample:
        self.model.eval()  # no dropout inside the chains
        self.noise.share(batch.rows, len(batch.drawn))
        return self.inference.infer(batch, seen, self.joint(batch), prior_weight, self.noise)

    def _with_noise(self, batch: Batch) -> Batch:
        """Return the batch with noise on what the generator sees."""
        self.noise.share(batch.rows, len(batch.drawn))
        deviation = self._noise_deviation
        if not isinstance(deviation, Tensor) and deviation == 0:
            return batch
        noise = noise_like(batch.observations, self.noise)
        return replace(batch, observations=batch.observations + deviation * noise)

    def log_likelihood(self, z0: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """`log p_beta(tau | z)`, or its estimate, and `w log p_gamma(y | z)`, `[B]` nats."""
        z = self.model.plan_from_noise(z0)
        grouped = self._grouped and batch.weight.shape[1] == 1
        parts = [
            in_groups(self._score, z, part) if grouped else self._score(z, part)
            for part in split_history(batch, self._segments_without_history(batch))
        ]
        weight = self.config.posterior.return_weight
        return torch.stack(parts).sum(0), weight * self.model.log_return(z, batch.returns)

    def _score(self, z: Tensor, batch: Batch) -> Tensor:
        """Return `log p_beta(tau | z)` of plans `[B, N, D]`, `[B]` nats."""
        score = self._learning_log_actions if self.model.training else self._log_actions
        steps = batch.observations, batch.previous_actions, batch.actions, batch.weight
        return score(z, *steps)

    def _segments_without_history(self, batch: Batch) -> int:
        settings = self.config.training
        if self.updates >= settings.history_dropout_updates:
            return 0
        return round(settings.history_dropout * batch.weight.shape[1])

    def _parameters(self) -> list[nn.Parameter]:
        return [*self.model.parameters(), *self.inference.parameters()]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next update depends on: flat tensors, and plain JSON values."""
        tensors = {
            **_prefixed("model", self.model.state_dict()),
            **_prefixed("average", self.average.state_dict()),
            "rng.noise": self.noise.generator.get_state(),
            "rng.views": self.views.generator.get_state(),
            "rng.torch": torch.get_rng_state(),
        }
        if self.device.type == "cuda":  # dropout draws from the GPU's own generator
            tensors["rng.cuda"] = torch.cuda.get_rng_state(self.device)
        tensors |= _prefixed("optimizer", optimizer_tensors(self.optimizer))
        if self.inference.engine is not None:
            tensors |= _prefixed("engine", self.inference.engine.state_dict())
        values = {
            "updates": self.updates,
            **self.batches.state(),
            "trajectories": self.dataset.num_trajectories,
        }
        return tensors, values

    def load_state(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Continue from `state`, bit for bit on the same device.

        Raises:
            ValueError: if the state is of another model or data set.
        """
        have = self.dataset.num_trajectories
        saved = values.get("trajectories", have)  # the first checkpoints do not say
        if saved != have:
            raise ValueError(
                f"the checkpoint is of {saved} trajectories, the data set has {have}: resume with "
                "the data the run was started with"
            )
        try:
            self.model.load_state_dict(_under("model", tensors))
            self.average.load_state_dict(_under("average", tensors))
            if self.inference.engine is not None:
                self.inference.engine.load_state_dict(_under("engine", tensors))
        except (RuntimeError, KeyError) as error:
            raise ValueError(f"the checkpoint is of another model: {error}") from error
        load_optimizer(self.optimizer, _under("optimizer", tensors))
        self.noise.generator.set_state(tensors["rng.noise"].cpu())
        self.views.generator.set_state(tensors["rng.views"].cpu())
        torch.set_rng_state(tensors["rng.torch"].cpu())
        if self.device.type == "cuda" and "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"].cpu(), self.device)
        self.batches.load_state(values, tensors.get("engine.chains.visits"))
        self.updates = values["updates"]
        self._part_dropout()
        if self._recorded is not None:
            self._recorded.forget()

    def _part_dropout(self) -> None:
        """Give every process but the first, whose state is saved, dropout masks of its own."""
        if self.ranks.rank > 0:
            torch.manual_seed(self.config.seed + self.updates + 1_000_003 * self.ranks.rank)


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    cut = len(prefix) + 1
    return {k[cut:]: tensor for k, tensor in tensors.items() if k.startswith(prefix + ".")}


def _share(mean: Tensor, batch: Batch) -> Tensor:
    """Return a process's part of a mean over the whole batch, given that over its own rows."""
    own = len(batch.index)
    return mean * (own / len(batch.drawn)) if own else torch.zeros_like(mean)
