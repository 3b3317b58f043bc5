"""The opponent computes what DHKD's release computes, and what our trainer computes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from benchmarks.authors_loop import AuthorsLoop, Options, clamped_binary_kl_norm, top_percent
from benchmarks.gradient_alignment import flat_aligned
from tests import goldens
from tests.trainers.loop.test_gradient_alignment import TINY, Tiny
from trainers.config import DatasetConfig, MethodConfig, Recipe, TeacherConfig, TrialConfig
from trainers.data import ImageData, Split
from trainers.distillers import Setting, build_distiller
from trainers.draws import derive
from trainers.fit import fit, seeded_model
from trainers.loop.evaluate import correct_in_top
from trainers.models import Network
from trainers.result import EpochResult
from trainers.views.views import Views

LOSSES = [case for case in goldens.index("kd_dhkd_losses") if case["loss"] == "binary_kl_norm"]
ARRAYS = goldens.arrays("kd_dhkd_losses")
RECIPE: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 32,
    "lr": 0.1,
    "schedule": "constant",
    "views": "none",
    "val_fraction": 0,
    "teacher_logits": "fp32",
}
STEPS = RECIPE["epochs"]
"""Of one batch each. The second shows whether the first has moved the auxiliary head, which no trial hands out."""


@pytest.mark.parametrize("case", [case for case in LOSSES if case["float32_finite"]], ids=lambda case: case["id"])
def test_its_loss_is_the_release_s(case: dict[str, Any]) -> None:
    student, teacher = (ARRAYS[case["inputs"][who]].double() for who in ("student", "teacher"))
    found = clamped_binary_kl_norm(student, teacher, case["temperature"])
    assert found.item() == pytest.approx(ARRAYS[f"{case['id']}/loss_f64"].item(), rel=case["loss_rtol"])


def test_its_loss_overflows_in_float32_where_the_release_s_does() -> None:
    loss = clamped_binary_kl_norm(torch.tensor([[40.0]]), torch.zeros(1, 1), temperature=2.0)
    assert math.isinf(loss.item())


@pytest.mark.parametrize("case", [case for case in TINY if case["hyper"]["nobj"] == 2], ids=lambda case: case["id"])
def test_its_aligned_gradient_is_the_release_s(case: dict[str, Any]) -> None:
    tiny = Tiny(case)
    parameters = list(tiny.parameters.values())
    flat_aligned(tiny.losses(), parameters)
    merged = torch.cat([parameter.grad.flatten() for parameter in parameters if parameter.grad is not None])
    torch.testing.assert_close(merged, tiny.data["merged_flat"], rtol=0, atol=case["tol"]["atol"])


def test_its_metrics_are_ours_in_percent() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(50, 20, generator=generator), torch.randint(0, 20, (50,), generator=generator)
    found = torch.stack(top_percent(logits, targets))
    torch.testing.assert_close(found, correct_in_top(logits, targets) * 2.0)


# -- whole steps ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def teacher() -> Network:
    """One with pronounced opinions."""
    teacher = seeded_model("resnet14", 4, seed=7).eval()
    with torch.no_grad():
        teacher.classifier.weight *= 10
    return teacher


@pytest.fixture(scope="module")
def data(teacher: Network) -> ImageData:
    """One batch of images, which is the test set as well; the labels are what the teacher thinks least likely."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (32, 3, 16, 16), dtype=torch.uint8, generator=generator)
    with torch.no_grad():
        labels = teacher((images / 255 - 0.5) / 0.3).argmin(dim=1)
    labels[:4] = torch.arange(4)  # no class may be empty
    split = Split(images, labels, torch.arange(32))
    return ImageData("noise", split, split, ("a", "b", "c", "d"), (0.5, 0.5, 0.5), (0.3, 0.3, 0.3))


def config(head: str, align: bool) -> TrialConfig:
    """A trial whose epochs are one step on the plain images; no dropout, so that their order makes no difference.

    Two linear heads that start alike pull the backbone apart, since the teacher is against the labels.
    """
    params = {"alpha": 2.0, "head": head, "dropout": 0.0, "align": align}
    params |= {"init": "copy"} if head == "linear" else {}
    return TrialConfig(
        dataset=DatasetConfig(name="noise"),
        model="resnet8",
        teacher=TeacherConfig(architecture="resnet14", hash="any"),
        method=MethodConfig(name="dhkd", params=params),
        recipe=Recipe.model_validate(RECIPE),
    )


def by_our_trainer(trial: TrialConfig, data: ImageData, teacher: Network) -> tuple[list[EpochResult], Network]:
    """Each step, and the student after the last."""
    running, steps = fit(trial, data=data, teacher=teacher), []
    while True:
        try:
            steps.append(next(running))
        except StopIteration as end:
            return steps, end.value


def by_the_loop(trial: TrialConfig, data: ImageData, teacher: Network) -> tuple[list[float], Network]:
    """The losses of the same steps from the same start, and the student after the last."""
    student = seeded_model(trial.model, data.num_classes, trial.seed)
    torch.manual_seed(derive(trial.seed, "method"))
    method = build_distiller(trial.method, student, Setting(data.num_classes, (16, 16), teacher))
    options = Options(alpha=2.0, align=trial.method.params["align"], lr=trial.recipe.lr)
    loop = AuthorsLoop(student, method.get_submodule("aux_head"), teacher, data, options)
    student.train()
    (batch,) = data.train.batches([torch.arange(32)])
    images = Views(trial.recipe, data, torch.device("cpu")).plain(batch.images)
    return [loop.step(images, batch.labels)[0] for _ in range(STEPS)], student


@pytest.mark.parametrize("head", ["linear", "nonlinear"])
@pytest.mark.parametrize("align", [False, True], ids=["plain", "aligned"])
def test_its_steps_are_our_trainer_s(data: ImageData, teacher: Network, head: str, align: bool) -> None:
    ours, expected = by_our_trainer(config(head, align), data, teacher)
    losses, found = by_the_loop(config(head, align), data, teacher)
    assert losses == pytest.approx([step.loss for step in ours], rel=1e-4)
    ours_end, end = expected.state_dict(), found.state_dict()
    torch.testing.assert_close({key: end[key] for key in ours_end}, ours_end, rtol=1e-3, atol=2e-5)


def test_alignment_makes_a_difference_to_that_step(data: ImageData, teacher: Network) -> None:
    """Otherwise the test above would not see it."""
    plain, aligned = (
        by_the_loop(config("linear", align), data, teacher)[1].classifier.weight for align in (False, True)
    )
    assert (plain - aligned).abs().max() > 1e-3


def test_an_epoch_goes_through_all_images_and_the_test_set(data: ImageData, teacher: Network) -> None:
    student = seeded_model("resnet8", 4, seed=0)
    before = student.classifier.weight.clone()
    loop = AuthorsLoop(student, torch.nn.Linear(64, 4), teacher, data, Options())
    seen, tested = loop.train(), loop.test()
    assert (seen.steps, tested.steps) == (1, 1)
    assert not torch.equal(before, student.classifier.weight)
    assert set(loop.parts.spent) == {
        *("data", "student forward", "teacher forward"),
        *("loss", "metrics", "backward", "optimiser"),
    }
    assert sum(loop.parts.spent.values()) <= seen.seconds
    assert 0 <= tested.top1 <= tested.top5 == 100.0
