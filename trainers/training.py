"""The training of one trial, in the parts that :func:`trainers.fit.fit` calls one after the other.

Shapes: `B` batch, `N` training images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trainers.check import refuse_idle_epochs, refuse_images, refuse_undecided
from trainers.config import Recipe, TrialConfig
from trainers.diagnostics import Sample, diagnose
from trainers.distillers import METHODS, Batch, Distiller, Setting, build_distiller
from trainers.draws import derive
from trainers.errors import CheckpointError
from trainers.loop.clock import Clock
from trainers.loop.data_parallel import ALONE, Group, refuse_workers, synchronised
from trainers.loop.ema import Average
from trainers.loop.evaluate import Accuracy, accuracies, percent
from trainers.loop.optimizers import optimizer_of
from trainers.loop.schedule import learning_rate
from trainers.loop.step import mean_terms, shares, step
from trainers.loop.tally import Tally
from trainers.loop.weighing import Weighing
from trainers.material import Material
from trainers.models import Network, build
from trainers.result import EpochResult
from trainers.storage.checkpoint import Checkpoints, save_tensors
from trainers.teaching.lesson import Lesson

WEIGHTS = "weights.pt"
"""The finished weights, in the trial's folder."""


class Training:
    """A trial's student, optimiser, checkpoints and numbers; it goes on from the newest whole checkpoint.

    Args:
        config: decides every number.
        material: what it trains on.
        lesson: what the teacher teaches; None without one.
        folder: where checkpoints and the finished weights go; None keeps nothing.
        group: the processes that train this trial together.

    Raises:
        CheckpointError: where the folder holds another trial's checkpoints.
        InputError: for names or hyperparameters that do not exist, where every loss weight of an epoch is 0, and for
            what several processes cannot train.
    """

    def __init__(
        self,
        config: TrialConfig,
        material: Material,
        lesson: Lesson | None = None,
        *,
        folder: Path | None = None,
        group: Group = ALONE,
    ) -> None:
        self.config, self.material, self.group = config, material, group
        self.lesson, self._folder = lesson, folder
        self.distiller = self._built()
        self._optimizer = optimizer_of(self.distiller, config.recipe)
        ema = config.recipe.ema
        self._average = Average(self.distiller.predictor, ema.decay) if ema is not None else None
        self._checkpoints = Checkpoints(folder / "checkpoints") if folder is not None else None
        self._cuts = _cuts(len(material.train), config.recipe.batch_size, group.fewest)
        self._history = self._resumed()
        self._sample: Sample | None = None

    @property
    def done(self) -> int:
        """Epochs that are behind it."""
        return len(self._history)

    def replayed(self) -> Iterator[EpochResult]:
        """The epochs that an earlier call has trained."""
        return (EpochResult(**(past | {"replayed": True})) for past in list(self._history))

    def remaining(self) -> range:
        """The epochs that are to be trained, one after the other."""
        return range(self.done + 1, self.config.recipe.epochs + 1)

    def begin(self, epoch: int) -> None:
        """Get ready for the steps of an epoch, counted from 1; whatever else draws has done so.

        Before the first, what is diagnosed is drawn, and the teacher run on it.
        """
        if self.config.recipe.diagnostics and self._sample is None:
            self._sample = self._drawn()
        _seed_torch(self.config.seed, epoch, self.group)
        self.distiller.train()
        self._epoch, self._step = epoch, 0
        self._weighing = Weighing(self.distiller.weights(epoch), self.material.place)
        self._tally = Tally(self._weighing, self.material.place)
        self._batches = self.material.order(self.config.seed, epoch).tensor_split(self._cuts)

    @property
    def parts(self) -> list[Tensor]:
        """What this process has of each batch of the epoch: positions in the training images, int64 ``[B]`` each."""
        return [self.group.share(batch) for batch in self._batches]

    @property
    def partners(self) -> list[Tensor] | None:
        """What the images of :attr:`parts` are mixed with, where others have a part of each batch: what stands as far
        from the end of the whole batch. None: each of its own in reverse."""
        return [self.group.share(batch.flip(0)) for batch in self._batches] if self.group.size > 1 else None

    def step(self, batch: Batch) -> None:
        """Train on the next of :attr:`parts`."""
        self._lr = learning_rate(self.config.recipe, self._epoch, self._step, len(self._batches))
        output = self.distiller.losses_as_set_up(batch)
        terms = shares(output.terms, len(batch), len(self._batches[self._step]))
        clip_norm = self.config.recipe.clip_norm
        step(self.distiller, self._optimizer, terms, self._weighing, self._lr, self.group, clip_norm)
        if self._average is not None:
            self._average.update()
        self._tally.add(terms, output.logits, batch.targets)
        self._step += 1

    def end(self, clock: Clock, taught: int) -> EpochResult:
        """What the epoch has come to; its checkpoint is written, or, of a training on a GPU, about to be.

        Args:
            clock: of the epoch; it runs.
            taught: images that the teacher was run on.

        Raises:
            DivergedError: when a loss term became NaN or infinite.
            StorageError: when the checkpoint cannot be written, or the one before it could not.
        """
        group, material = self.group, self.material
        means = self._means()
        trained = clock.seconds
        if not self.config.recipe.sync_batch_norm:
            for network in self._networks:
                group.average_statistics(network)
        train = percent(group.sum(self._tally.correct), material.labelled)
        test, *val = self._measured(self.predictor)
        result = EpochResult(
            epoch=self._epoch,
            loss=means.pop("loss"),
            terms=means,
            lr=self._lr,
            train_acc=train.top1,
            train_acc5=train.top5,
            val_acc=val[0].top1 if val else None,
            val_acc5=val[0].top5 if val else None,
            test_acc=test.top1,
            test_acc5=test.top5,
            diagnostics=self._beside() | self._diagnosed(),
            seconds=clock.seconds,
            images_per_second=len(material.train) / trained,
            teacher_images=int(group.sum(torch.tensor(taught, device=material.place))),
        )
        self._kept(result)
        return result

    @property
    def predictor(self) -> Network:
        """What is evaluated and exported: the method's predictor, or its average."""
        ema = self.config.recipe.ema
        if self._average is None or ema is None or not ema.predicts:
            return self.distiller.predictor
        return self._average.network

    def finished(self) -> Network:
        """The predictor, on the CPU and in evaluation mode; its weights are on the disk.

        Raises:
            StorageError: when they, or the last checkpoint, cannot be written.
        """
        if self._checkpoints is not None:
            self._checkpoints.settled()
        student = self.predictor.cpu().to(memory_format=torch.contiguous_format).eval()
        if self._folder is not None and self.group.leads:
            save_tensors(self._folder / WEIGHTS, _exported(self.config, student, self.material.data.classes))
        return student

    def _means(self) -> dict[str, float]:
        """Mean of each loss over the epoch's images."""
        records = self.group.sum(self._tally.records())
        return mean_terms(records, [len(batch) for batch in self._batches], self._tally.names, self._epoch)

    @property
    def _networks(self) -> list[nn.Module]:
        """All whose statistics each process has for itself."""
        return [self.distiller, *([self._average.network] if self._average is not None else [])]

    def _measured(self, network: Network) -> list[Accuracy]:
        """Accuracies on the test set, and on what is held out where something is."""
        material = self.material
        splits = [material.test] if material.val is None else [material.test, material.val]
        return accuracies(network, splits, material.views, material.autocast, self.group)

    def _beside(self) -> dict[str, float]:
        """Accuracies of the one that does not predict: the average, or the student of one that does."""
        if self._average is None:
            return {}
        averaged = self.predictor is self._average.network
        network, name = (self.distiller.predictor, "student") if averaged else (self._average.network, "ema")
        found = zip(("test", "val"), self._measured(network), strict=False)
        return {f"{name}_{split}_acc": accuracy.top1 for split, accuracy in found}

    def _drawn(self) -> Sample:
        material = self.material
        teacher = self.lesson.live if self.lesson is not None else None
        return Sample.draw(
            self.config.recipe, material.train, material.test, material.views, material.autocast, teacher
        )

    def _diagnosed(self) -> dict[str, float]:
        """The epoch's diagnostics; none where it is not their turn."""
        recipe = self.config.recipe
        due = self._epoch % recipe.diagnostics_every == 0 or self._epoch == recipe.epochs
        return diagnose(self.distiller, self._sample, self._epoch) if self._sample is not None and due else {}

    def _built(self) -> Distiller:
        """The method around its student, on the device, as it is trained."""
        config, recipe, group = self.config, self.config.recipe, self.group
        distiller = _initial(config, _setting(config, self.material, self.lesson))
        distiller = distiller.to(self.material.place).to(memory_format=torch.channels_last)
        if group.size > 1:
            refuse_workers(config)
        if group.size > 1 and recipe.sync_batch_norm:
            synchronised(distiller)
        distiller.set_up(torch.bfloat16 if recipe.precision == "bf16" else None, _compiled_size(recipe))
        refuse_idle_epochs(distiller, config)
        refuse_images(distiller, config)
        return distiller

    def _kept(self, result: EpochResult) -> None:
        """All that is needed to go on: written here, read in :meth:`_resumed`, nowhere else."""
        self._history.append(asdict(result))
        if self._checkpoints is None or not self.group.leads:
            return
        state = {
            "key": self.config.key,
            "distiller": self.distiller.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "history": self._history,
        }
        if self._average is not None:
            state["average"] = self._average.network.state_dict()
        self._checkpoints.keep(result.epoch, state)

    def _resumed(self) -> list[dict[str, Any]]:
        """Load the newest whole checkpoint, if there is one; the epochs that are done, as dicts."""
        checkpoints = self._checkpoints
        state = self.group.told(lambda: checkpoints.newest() if checkpoints is not None else None)
        if state is None:
            return []
        if state["key"] != self.config.key:
            raise CheckpointError(f"the folder holds checkpoints of trial {state['key']}, not of {self.config.key}")
        self.distiller.load_state_dict(state["distiller"])
        self._optimizer.load_state_dict(state["optimizer"])
        if self._average is not None:
            self._average.network.load_state_dict(state["average"])
        return list(state["history"])


def lesson_of(
    config: TrialConfig, material: Material, teacher: Network | Callable[[], Network] | None
) -> Lesson | None:
    """What the teacher teaches; None without one, and for methods that listen to none.

    Args:
        config: of the trial.
        material: what it trains on.
        teacher: the network, or what loads it, which is called once, when it is first needed.
    """
    if teacher is None or METHODS[config.method.name].teacher_needs == "nothing":
        return None
    given = teacher

    @cache
    def loaded() -> Network:
        return (given if isinstance(given, Network) else given()).eval()

    return Lesson(config, material.data, material.train, material.views, material.place, loaded)


def seeded_model(name: str, num_classes: int, seed: int, drop_path: float = 0.0) -> Network:
    """The network of `name` as it starts in every trial of `seed`, whatever the method."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "model"))
        return build(name, num_classes=num_classes, drop_path=drop_path)


def _setting(config: TrialConfig, material: Material, lesson: Lesson | None) -> Setting:
    method = METHODS[config.method.name]
    needed = lesson is not None and (method.teacher_needs == "features" or method.copies_teacher)
    return Setting(
        num_classes=material.data.num_classes,
        image_size=material.data.image_size,
        teacher=lesson.teacher() if lesson is not None and needed else None,
        index=material.trained.index,
        labels=material.trained.labels,
        seed=config.seed,
    )


def _initial(config: TrialConfig, setting: Setting) -> Distiller:
    """The method around a fresh student; what the method adds is drawn after, and apart from, the student."""
    student = seeded_model(config.model, setting.num_classes, config.seed, config.recipe.drop_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(config.seed, "method"))
        return build_distiller(config.method, student, setting)


def _compiled_size(recipe: Recipe) -> int | None:
    """Images of the batches that go through a compiled student; None where the recipe has none."""
    refuse_undecided(recipe)
    return recipe.batch_size if recipe.compile else None


def _cuts(count: int, size: int, fewest: int = ALONE.fewest) -> list[int]:
    """Where `count` images are cut into batches of `size`; a last one of fewer than `fewest` joins the one before."""
    cuts = list(range(size, count, size))
    if cuts and count - cuts[-1] < fewest:
        cuts.pop()
    return cuts


def _seed_torch(seed: int, epoch: int, group: Group) -> None:
    """For what torch draws by itself: dropout, of each process's own images."""
    torch.manual_seed(derive(seed, "torch", epoch, *([group.rank] if group.size > 1 else [])))


def _exported(config: TrialConfig, student: Network, classes: Sequence[str]) -> dict[str, Any]:
    """The finished weights, and whose they are: SimKD's and DHO's are of a network that the method shapes as well."""
    return {
        "architecture": config.model,
        "method": config.method.model_dump(mode="json"),
        "teacher": config.teacher.architecture if config.teacher is not None else None,
        "classes": list(classes),
        "state_dict": student.state_dict(),
    }
