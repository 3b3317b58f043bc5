"""The one training loop.

:func:`fit` trains a trial and yields one :class:`EpochResult` per epoch. It can be stopped between any two epochs, by
any means, and called again with the same folder: on the CPU the numbers are then bit for bit those of an
uninterrupted run, because every random draw derives from (seed, epoch, sample) and nothing else.

Shapes: `B` batch, `S` steps of an epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainers.accelerator import computing, placed
from trainers.check import refuse_idle_epochs
from trainers.config import Recipe, TrialConfig
from trainers.data.base import ImageData, Images, TrainingData
from trainers.diagnostics import Sample, diagnose
from trainers.distillers import METHODS, Distiller, Setting, build_distiller
from trainers.draws import derive, order
from trainers.errors import CheckpointError, DivergedError
from trainers.loop.data_parallel import ALONE, Group, refuse_workers, synchronised
from trainers.loop.evaluate import accuracies, percent
from trainers.loop.gradient_alignment import aligned_gradients
from trainers.loop.schedule import learning_rate
from trainers.loop.sgd import SGD
from trainers.loop.tally import Tally
from trainers.loop.weighing import Weighing
from trainers.models import Network, build
from trainers.result import EpochResult
from trainers.storage.checkpoint import Checkpoints, save_tensors
from trainers.teaching.chunks import Preparation
from trainers.teaching.lesson import Lesson, teaching
from trainers.teaching.logit_bank import LogitBank
from trainers.views.views import Views

WEIGHTS = "weights.pt"
"""The finished weights, in the trial's folder."""


def fit(
    config: TrialConfig,
    *,
    data: ImageData,
    teacher: Network | Callable[[], Network] | None = None,
    bank: LogitBank | None = None,
    folder: Path | None = None,
    device: str = "cpu",
    group: Group = ALONE,
) -> Generator[EpochResult, None, Network]:
    """Train the trial that `config` describes.

    Args:
        config: decides every number.
        data: the data set that `config.dataset` names.
        teacher: the trained teacher that `config.teacher` names, or what loads it, which is called when the teacher is
            first run; it is put in evaluation mode.
        bank: where the teacher's logits are kept for other trials, if the method reads logits alone. It changes no
            number; None computes them anew.
        folder: where checkpoints and the finished weights go; with one, an earlier call is continued, and its epochs
            are yielded first (`replayed`). None keeps nothing.
        device: torch's name of the device to train on; "cuda" is the thread's current GPU.
        group: the processes that train this trial together, each with this very call; the leading one writes.

    Yields:
        One result per epoch, after the epoch's checkpoint is written; on a GPU it is written while the next one trains.

    Returns:
        The method's predictor, on the CPU: the trained student, without anything that the method learnt beside it; for
        SimKD with its projector and the teacher's classifier.

    Raises:
        DivergedError: when a loss term becomes NaN or infinite.
        InputError: for names or hyperparameters that do not exist, where every loss weight of an epoch is 0, and for
            what several processes cannot train.
        StorageError: when a checkpoint cannot be written.
    """
    place = placed(device)
    computes = partial(computing, place, tf32=config.recipe.tf32, deterministic=config.recipe.deterministic)
    computes()
    cut = TrainingData.cut(data, config.recipe)
    train, test = cut.train.to(place), cut.test.to(place)
    val = cut.val.to(place) if cut.val is not None else None
    views = Views(train.recipe_left(config.recipe), data, place)
    autocast = torch.autocast(place.type, torch.bfloat16, enabled=config.recipe.precision == "bf16")
    lesson = _lesson(config, data, train, views, place, teacher)
    distiller = _initial(config, _setting(config, data, cut.train, lesson))
    distiller = distiller.to(place).to(memory_format=torch.channels_last)
    if group.size > 1:
        refuse_workers(config)
    if group.size > 1 and config.recipe.sync_batch_norm:
        synchronised(distiller)
    distiller.set_up(torch.bfloat16 if config.recipe.precision == "bf16" else None, _compiled_size(config.recipe))
    refuse_idle_epochs(distiller, config)
    taught = teaching(lesson, bank, autocast, strong=distiller.strong_view)
    preparation = Preparation(config.recipe, config.seed, train, views, taught, distiller.strong_view)
    optimizer = _optimizer(distiller, config.recipe)
    checkpoints = Checkpoints(folder / "checkpoints") if folder is not None else None
    cuts = _cuts(len(train), config.recipe.batch_size, group.fewest)

    # 1. an interrupted call of the same trial, 2. otherwise from scratch
    history = _resumed(checkpoints, config, distiller, optimizer, group)
    yield from (EpochResult(**(past | {"replayed": True})) for past in history)

    unfinished = len(history) < config.recipe.epochs
    sample = _sample(config.recipe, train, test, views, autocast, lesson) if unfinished else None
    for epoch in range(len(history) + 1, config.recipe.epochs + 1):
        started = time.perf_counter()
        computes()  # others may have run here meanwhile
        taught.begin(epoch)  # may load the teacher, which draws
        _seed_torch(config.seed, epoch, group)
        distiller.train()
        weighing = Weighing(distiller.weights(epoch), place)
        tally = Tally(weighing, place)
        batches = order(config.seed, epoch, train.index).tensor_split(cuts)
        for step, batch in enumerate(preparation.batches([group.share(batch) for batch in batches], epoch)):
            lr = learning_rate(config.recipe, epoch, step, len(batches))
            output = distiller.losses(batch)
            terms = _shares(output.terms, len(batch), len(batches[step]))
            _step(distiller, optimizer, terms, weighing, lr, group)
            tally.add(terms, output.logits, batch.targets)
        means = _mean_terms(group.sum(tally.records()), [len(batch) for batch in batches], tally.names, epoch)
        trained = time.perf_counter() - started

        if not config.recipe.sync_batch_norm:
            group.average_statistics(distiller)
        train_acc = percent(group.sum(tally.correct), len(train))
        evaluated = [test] if val is None else [test, val]
        test_acc, *val_acc = accuracies(distiller.predictor, evaluated, views, autocast, group)
        result = EpochResult(
            epoch=epoch,
            loss=means.pop("loss"),
            terms=means,
            lr=lr,
            train_acc=train_acc.top1,
            train_acc5=train_acc.top5,
            val_acc=val_acc[0].top1 if val_acc else None,
            val_acc5=val_acc[0].top5 if val_acc else None,
            test_acc=test_acc.top1,
            test_acc5=test_acc.top5,
            diagnostics=_diagnosed(distiller, sample, epoch, config.recipe),
            seconds=time.perf_counter() - started,
            images_per_second=len(train) / trained,
            teacher_images=int(group.sum(torch.tensor(taught.images, device=place))),
        )
        history.append(asdict(result))
        if checkpoints is not None and group.leads:
            checkpoints.keep(epoch, _loop_state(config, distiller, optimizer, history))
        yield result

    if checkpoints is not None:
        checkpoints.settled()
    student = distiller.predictor.cpu().to(memory_format=torch.contiguous_format).eval()
    if folder is not None and group.leads:
        save_tensors(folder / WEIGHTS, _exported(config, student, data.classes))
    return student


def _sample(
    recipe: Recipe, train: Images, test: Images, views: Views, autocast: torch.autocast, lesson: Lesson | None
) -> Sample | None:
    """What the trial is diagnosed on, where its recipe asks for that."""
    if not recipe.diagnostics:
        return None
    teacher = lesson.live if lesson is not None else None
    return Sample.draw(recipe, train, test, views, autocast, teacher)


def _diagnosed(distiller: Distiller, sample: Sample | None, epoch: int, recipe: Recipe) -> dict[str, float]:
    """The epoch's diagnostics; none where it is not their turn."""
    due = epoch % recipe.diagnostics_every == 0 or epoch == recipe.epochs
    return diagnose(distiller, sample, epoch) if sample is not None and due else {}


def _exported(config: TrialConfig, student: Network, classes: Sequence[str]) -> dict[str, Any]:
    """The finished weights, and whose they are: SimKD's belong to a network that teacher and method shape as well."""
    return {
        "architecture": config.model,
        "method": config.method.model_dump(mode="json"),
        "teacher": config.teacher.architecture if config.teacher is not None else None,
        "classes": list(classes),
        "state_dict": student.state_dict(),
    }


def seeded_model(name: str, num_classes: int, seed: int) -> Network:
    """The network of `name` as it starts in every trial of `seed`, whatever the method."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "model"))
        return build(name, num_classes=num_classes)


def _lesson(
    config: TrialConfig,
    data: ImageData,
    train: Images,
    views: Views,
    device: torch.device,
    teacher: Network | Callable[[], Network] | None,
) -> Lesson | None:
    """What the teacher teaches; None without one, and for methods that listen to none."""
    if teacher is None or METHODS[config.method.name].teacher_needs == "nothing":
        return None
    given = teacher

    @cache
    def loaded() -> Network:
        return (given if isinstance(given, Network) else given()).eval()

    return Lesson(config, data, train, views, device, loaded)


def _setting(config: TrialConfig, data: ImageData, train: Images, lesson: Lesson | None) -> Setting:
    needed = lesson is not None and METHODS[config.method.name].teacher_needs == "features"
    return Setting(
        num_classes=data.num_classes,
        image_size=data.image_size,
        teacher=lesson.teacher() if lesson is not None and needed else None,
        index=train.index,
        labels=train.labels,
        seed=config.seed,
    )


def _initial(config: TrialConfig, setting: Setting) -> Distiller:
    """The method around a fresh student; what the method adds is drawn after, and apart from, the student."""
    student = seeded_model(config.model, setting.num_classes, config.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(config.seed, "method"))
        return build_distiller(config.method, student, setting)


def _optimizer(distiller: Distiller, recipe: Recipe) -> torch.optim.Optimizer:
    return SGD(
        distiller.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        fused=True,
    )


def _compiled_size(recipe: Recipe) -> int | None:
    """Images of the batches that go through a compiled student; None where the recipe has none."""
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


def _shares(terms: dict[str, Tensor], own: int, batch: int) -> dict[str, Tensor]:
    """Each term's part in the mean over the whole batch of which this process has `own` images."""
    return terms if own == batch else {name: term * (own / batch) for name, term in terms.items()}


def _step(
    distiller: Distiller,
    optimizer: torch.optim.Optimizer,
    terms: dict[str, Tensor],
    weighing: Weighing,
    lr: float,
    group: Group = ALONE,
) -> None:
    """Step the optimiser once, by the gradient of the weighted sum of the terms."""
    for parameters_group in optimizer.param_groups:
        parameters_group["lr"] = lr
    counted = weighing.counted(terms)
    if distiller.anchors.isdisjoint(counted) or distiller.anchors.issuperset(counted):
        optimizer.zero_grad(set_to_none=True)
        weighing.backward(terms)
        group.sum_all([parameter.grad for parameter in distiller.parameters()])
    else:
        _align(distiller, weighing.weighted(terms), group)
    optimizer.step()


def _align(distiller: Distiller, weighted: dict[str, Tensor], group: Group) -> None:
    """Give the parameters a gradient in which no other term opposes the anchors."""
    anchors = torch.stack([term for name, term in weighted.items() if name in distiller.anchors]).sum()
    others = [term for name, term in weighted.items() if name not in distiller.anchors]
    parameters = [parameter for parameter in distiller.parameters() if parameter.requires_grad]
    merged = aligned_gradients(anchors, others, parameters, group)
    for parameter, gradient in zip(parameters, merged, strict=True):
        parameter.grad = gradient


def _mean_terms(records: Tensor, sizes: list[int], names: list[str], epoch: int) -> dict[str, float]:
    """Mean of each loss over the epoch's images, from float ``[S, len(names)]``.

    Raises:
        DivergedError: naming the first step and term that is NaN or infinite (the total last).
    """
    records = records.double().cpu()
    bad = torch.nonzero(~records.isfinite().all(dim=1)).flatten().tolist()
    if bad:
        step = bad[0]
        columns = [*range(1, len(names)), 0]
        column = next(index for index in columns if not math.isfinite(records[step, index]))
        raise DivergedError(names[column], epoch, step + 1, records[step, column].item())
    share = torch.tensor(sizes, dtype=torch.float64) / sum(sizes)
    return dict(zip(names, (share @ records).tolist(), strict=True))


def _loop_state(
    config: TrialConfig, distiller: Distiller, optimizer: torch.optim.Optimizer, history: list[dict[str, Any]]
) -> dict[str, Any]:
    """All that is needed to go on: written here, read in :func:`_resumed`, nowhere else."""
    return {
        "key": config.key,
        "distiller": distiller.state_dict(),
        "optimizer": optimizer.state_dict(),
        "history": history,
    }


def _resumed(
    checkpoints: Checkpoints | None,
    config: TrialConfig,
    distiller: Distiller,
    optimizer: torch.optim.Optimizer,
    group: Group,
) -> list[dict[str, Any]]:
    """Load the newest whole checkpoint, if there is one; the epochs that are done, as dicts."""
    state = group.told(lambda: checkpoints.newest() if checkpoints is not None else None)
    if state is None:
        return []
    if state["key"] != config.key:
        raise CheckpointError(f"the folder holds checkpoints of trial {state['key']}, not of {config.key}")
    distiller.load_state_dict(state["distiller"])
    optimizer.load_state_dict(state["optimizer"])
    return list(state["history"])
