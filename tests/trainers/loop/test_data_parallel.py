"""One trial on several processes: real ones, that talk over gloo."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import nn

from tests.support.processes import forked
from tests.trainers.examples import finish, small_trial
from trainers.config import TrialConfig
from trainers.data import ImageData
from trainers.errors import InputError
from trainers.fit import fit
from trainers.loop.data_parallel import ALONE, Group, SyncBatchNorm, refuse_workers, synchronised
from trainers.models import Network
from trainers.result import EpochResult

pytestmark = pytest.mark.slow(5)

WORKERS = 2
PATIENCE = 120
"""Seconds."""
EPOCHS = 3


@dataclass(frozen=True)
class Course:
    """A trial that several processes are to train."""

    config: TrialConfig
    folder: Path | None = None
    epochs: int = EPOCHS
    """After which it is stopped."""
    killed: int | None = None
    """A rank that is killed after the first epoch."""


def trained(
    course: Course, data: ImageData, teacher: Network, group: Group = ALONE
) -> tuple[list[EpochResult], dict[str, torch.Tensor]]:
    """Results of the trial as far as it goes, and the weights that it ends with."""
    given = teacher if course.config.teacher is not None else None
    running = fit(course.config, data=data, teacher=given, folder=course.folder, group=group)
    if course.epochs == course.config.recipe.epochs and course.killed is None:
        results, student = finish(running)
        return results, dict(student.state_dict())
    results = []
    for _ in range(course.epochs):
        results.append(next(running))
        if group.rank == course.killed:
            os.kill(os.getpid(), signal.SIGKILL)
    return results, {}


def worker(
    rank: int, meeting: Path, courses: Sequence[Course], data: ImageData, teacher: Network, answers: Any
) -> None:
    """A process of the group: trains the courses, and sends what came of them, or what went wrong."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=WORKERS)
    for course in courses:
        try:
            results, weights = trained(course, data, teacher, Group.joined())
            answers.put((rank, results, {name: value.numpy() for name, value in weights.items()}))
        except RuntimeError as error:  # gloo's, when its neighbour is dead
            answers.put((rank, str(error), {}))
            return
    dist.destroy_process_group()


def together(
    folder: Path, courses: Sequence[Course], data: ImageData, teacher: Network, *, answering: int = WORKERS
) -> list[dict[int, tuple[Any, Any]]]:
    """What each process made of each course, by rank."""
    context = forked()
    answers = context.Queue()
    given = (folder / "meeting", courses, data, teacher, answers)
    processes = [context.Process(target=worker, args=(rank, *given)) for rank in range(WORKERS)]
    for process in processes:
        process.start()
    found = []
    for _ in courses:
        heard = [answers.get(timeout=PATIENCE) for _ in range(answering)]
        found.append({rank: (results, weights) for rank, results, weights in heard})
    for process in processes:
        process.join(PATIENCE)
    return found


TRIALS = {
    "kd": small_trial("kd"),
    "dhkd nonlinear": small_trial("dhkd", {"head": "nonlinear"}),
    "dhkd without dropout": small_trial("dhkd", {"head": "nonlinear", "dropout": 0.0}),
    "dhkd aligned": small_trial("dhkd", {"align": True}),
    "mixed, averaged, by AdamW": small_trial(
        "kd",
        optimizer="adamw",
        lr=0.002,
        decay_norms_and_biases=False,
        clip_norm=0.5,
        label_smoothing=0.1,
        ema={"decay": 0.5},
        mixup=0.8,
        cutmix=1.0,
        random_erasing=0.5,
    ),
    "few labels": small_trial("dho", labelled_fraction=0.25),
    "averaged with a share's statistics": small_trial("kd", sync_batch_norm=False, ema={"decay": 0.5}),
    "a share's statistics": small_trial("kd", sync_batch_norm=False),
}
EXACT = ("kd", "dhkd without dropout", "dhkd aligned", "mixed, averaged, by AdamW", "few labels")
"""Without what is drawn by each process (dropout)."""


@pytest.fixture(scope="module")
def side_by_side(
    few: ImageData, teacher: Network, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[int, tuple[list[EpochResult], dict[str, np.ndarray[Any, Any]]]]]:
    """What two workers made of each of :data:`TRIALS`."""
    folder = tmp_path_factory.mktemp("group")
    courses = [Course(config) for config in TRIALS.values()]
    return dict(zip(TRIALS, together(folder, courses, few, teacher), strict=True))


@pytest.mark.parametrize("name", EXACT)
def test_two_workers_learn_what_one_does(name: str, side_by_side: Any, few: ImageData, teacher: Network) -> None:
    ours, _ = side_by_side[name][0]
    alone, _ = trained(Course(TRIALS[name]), few, teacher)
    for one, other in zip(ours, alone, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=0.02)
        assert one.lr == other.lr
    assert ours[0].loss == pytest.approx(alone[0].loss, rel=1e-4)  # sums in another order, over three steps
    assert ours[0].terms == pytest.approx(alone[0].terms, rel=1e-4)


@pytest.mark.parametrize("name", TRIALS)
def test_all_workers_come_to_the_same_end(name: str, side_by_side: Any) -> None:
    (results, weights), (others, other_weights) = side_by_side[name][0], side_by_side[name][1]
    assert results == others
    assert len(results) == EPOCHS
    assert all(np.array_equal(weights[key], other_weights[key]) for key in weights)


def test_statistics_of_shares_are_another_training(side_by_side: Any) -> None:
    own, whole = side_by_side["a share's statistics"][0][0], side_by_side["kd"][0][0]
    assert own[0].loss != pytest.approx(whole[0].loss, rel=1e-4)


def test_a_worker_s_death_ends_the_trial_and_its_checkpoint_goes_on(
    few: ImageData, teacher: Network, tmp_path: Path
) -> None:
    course = Course(TRIALS["kd"], tmp_path / "trial", killed=1)
    ((said, _),) = together(tmp_path, [course], few, teacher, answering=1)[0].values()
    assert isinstance(said, str)
    assert "connection" in said.lower() or "closed" in said.lower()
    (tmp_path / "meeting").unlink(missing_ok=True)
    found = together(tmp_path, [replace(course, killed=None)], few, teacher)[0]
    resumed, _ = found[0]
    assert resumed[0].replayed
    assert not resumed[-1].replayed
    assert (tmp_path / "trial" / "weights.pt").exists()
    straight, _ = trained(Course(TRIALS["kd"]), few, teacher)
    assert resumed[0].loss == pytest.approx(straight[0].loss, rel=1e-4)


# -- shares -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_shares_are_a_batch_cut_up(size: int) -> None:
    batch = torch.arange(17)
    shares = [Group(rank, size).share(batch) for rank in range(size)]
    assert torch.equal(torch.cat(shares), batch)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_batch_has_two_images_for_each_worker() -> None:
    smallest = Group(0, 5).share(torch.arange(Group(0, 5).fewest))
    assert len(smallest) == 2


def test_one_process_talks_to_nobody() -> None:
    tensor = torch.ones(3)
    assert ALONE.sum(tensor) is tensor
    ALONE.sum_all([tensor, None])
    norm = nn.BatchNorm2d(2)
    ALONE.average_statistics(norm)
    assert norm.running_var is not None
    assert norm.running_var.tolist() == [1, 1]
    assert ALONE.told(lambda: "found") == "found"


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (small_trial("crd"), "'crd' keeps a memory of every training image"),
        (small_trial("kd", compile=True), "a compiled student trains on one worker"),
    ],
    ids=["crd", "compiled"],
)
def test_what_several_workers_cannot_train_is_refused(config: TrialConfig, why: str) -> None:
    with pytest.raises(InputError, match=why):
        refuse_workers(config)


# -- batch norm -------------------------------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path: Path) -> Any:
    """A process group of this process."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def passed(norm: nn.Module, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Output, the gradients of a loss of it, and the running statistics."""
    given = images.clone().requires_grad_()
    out = norm(given)
    out.square().flatten(1).mul(torch.arange(len(out))[:, None]).sum().backward()
    assert given.grad is not None
    return out, given.grad, *(parameter.grad for parameter in norm.parameters()), *norm.buffers()


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("momentum", [0.1, None])
def test_synchronised_batch_norm_is_batch_norm(momentum: float | None) -> None:
    torch.manual_seed(0)
    images = torch.randn(6, 3, 4, 4) * 5 + 100
    plain, ours = nn.BatchNorm2d(3, momentum=momentum), SyncBatchNorm(3, momentum=momentum)
    with torch.no_grad():
        for norm in (plain, ours):
            norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
    for left, right in zip(passed(plain, images), passed(ours, images), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(plain.eval()(images), ours.eval()(images), rtol=1e-3, atol=1e-4)


def test_batch_norms_are_replaced_with_all_that_they_hold() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(nn.BatchNorm2d(4, eps=1e-3, momentum=0.2)))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    weight = network[1][0].weight
    synchronised(network)
    assert isinstance(network[1][0], SyncBatchNorm)
    assert (network[1][0].eps, network[1][0].momentum) == (1e-3, 0.2)
    assert network[1][0].weight is weight
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.usefixtures("alone")
def test_the_batch_norm_of_features_sees_the_whole_batch_too() -> None:
    torch.manual_seed(0)
    features, head = torch.randn(6, 3) * 5 + 100, nn.Sequential(nn.BatchNorm1d(3))
    expected = passed(nn.BatchNorm1d(3), features)
    synchronised(head)
    assert isinstance(head[0], SyncBatchNorm)
    for left, right in zip(expected, passed(head[0], features), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-3, atol=1e-4)
    assert head.eval()(features).shape == features.shape
