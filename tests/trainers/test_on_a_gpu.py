"""A whole trial says on a pretended GPU what it says on the CPU, and the host waits for nothing within a step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.pretended_gpu import CLASSES, images, numbers, on_both, trial
from trainers import accelerator
from trainers.code import settings_kept
from trainers.config import TrialConfig
from trainers.contract.pretended_gpu import pretended
from trainers.distillers import METHODS
from trainers.fit import fit, seeded_model
from trainers.models import Network
from trainers.teaching import lesson
from trainers.teaching.bank_part import Looked
from trainers.teaching.lesson import Lesson
from trainers.teaching.logit_bank import LogitBank, Shelf

KINDS: dict[str, dict[str, Any]] = {
    "scratch": {},
    "dhkd": {"head": "nonlinear", "align": True},  # dropout, and a backward pass for each head
    "mlkd": {},  # two views
    "crd": {},  # a memory
    "simkd": {},  # predicts through a network of its own
    "dho": {},  # and through two heads
    "tekap": {},  # draws in every step
    "ofd": {},  # margins of the teacher's batch norms
}
"""A method of each kind."""
RECIPES: dict[str, dict[str, Any]] = {
    "every image as it is, diagnosed": {"views": "none", "teacher_logits": "fp32", "diagnostics": True},
    "autoaugment in bf16": {"views": "autoaugment", "precision": "bf16"},
}
PAIRS = (("wrn_16_2", "wrn_16_1"), ("resnet8", "ShuffleV2"))


@pytest.fixture(autouse=True)
def small_passes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Passes of the teacher of as many images on both devices, and few."""
    monkeypatch.setattr(lesson, "PASS_IMAGES", 16)
    monkeypatch.setattr(lesson, "PASS_IMAGES_GPU", 16)
    yield


def resnet() -> Network:
    """A teacher."""
    return seeded_model("resnet8", CLASSES, seed=9).eval()


def holds(config: TrialConfig, folder: Path, **where: int) -> None:
    """The numbers are the CPU's with a bank that is cold and one that is warm, and no step waits."""
    came = on_both(config, folder, **where)
    assert numbers(came.cold) == numbers(came.expected)
    assert numbers(came.warm) == numbers(came.expected)
    assert came.waits == ()
    assert not came.moved
    banked = config.teacher is not None and METHODS[config.method.name].teacher_needs == "logits"
    assert banked == (sum(epoch.teacher_images for epoch in came.warm) == 0 < sum(e.teacher_images for e in came.cold))


@pytest.mark.slow(2)
@pytest.mark.parametrize("method", KINDS)
def test_a_method_of_each_kind_trains_as_on_the_cpu(method: str, tmp_path: Path) -> None:
    holds(trial(method, KINDS[method]), tmp_path)


@pytest.mark.slow(2)
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_trains_as_on_the_cpu(recipe: str, tmp_path: Path) -> None:
    holds(trial("kd", **RECIPES[recipe]), tmp_path)


@pytest.mark.slow(2)
@pytest.mark.parametrize("method", ["scratch", "dho"])
def test_with_few_labels_it_trains_as_on_the_cpu(method: str, tmp_path: Path) -> None:
    holds(trial(method, labelled_fraction=0.5, diagnostics=True), tmp_path)


@pytest.mark.slow(30)
@pytest.mark.parametrize("method", [name for name in METHODS if name not in KINDS])
def test_every_other_method_trains_as_on_the_cpu(method: str, tmp_path: Path) -> None:
    holds(trial(method, diagnostics=True), tmp_path)


@pytest.mark.slow(20)
@pytest.mark.parametrize("pair", PAIRS, ids=" -> ".join)
@pytest.mark.parametrize("method", ["dhkd", "ofd"])
def test_a_pair_of_other_families_trains_as_on_the_cpu(pair: tuple[str, str], method: str, tmp_path: Path) -> None:
    holds(trial(method, pair=pair), tmp_path, size=16)


@pytest.mark.parametrize("method", ["kd", "ofd"])
def test_a_worker_whose_gpu_is_the_second_trains_there(method: str, tmp_path: Path) -> None:
    """With threads that fill the bank, whose own current GPU is the first."""
    holds(trial(method, epochs=1), tmp_path, number=1)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("asked", [{}, {"tf32": True}, {"deterministic": True}], ids=str)
def test_every_epoch_computes_as_the_recipe_says(
    device: str, asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where what ran between two of them has set torch back, as a worker does."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", accelerator.WORKSPACE)
    seen: set[tuple[bool, bool, bool]] = set()

    def see(module: torch.nn.Module, inputs: Any) -> None:
        backends = torch.backends
        rounds = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
        seen.add((*rounds, torch.are_deterministic_algorithms_enabled()))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(see)
    running = fit(trial("scratch", **asked), data=images(), device=device)
    with settings_kept(), pretended(), closing(running):
        for _ in range(2):
            with settings_kept():
                next(running)
    hook.remove()
    tf32, repeats = asked.get("tf32", False), asked.get("deterministic", False)
    assert seen == ({(tf32, tf32, repeats)} if device == "cuda" else {(True, False, False)})


@pytest.mark.parametrize("asked", [{}, {"tf32": True}, {"deterministic": True}], ids=str)
def test_a_training_leaves_torch_s_settings_as_they_were(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", accelerator.WORKSPACE)

    def found() -> tuple[bool, bool, bool]:
        backends = torch.backends
        rounds = backends.cudnn.allow_tf32, backends.cuda.matmul.allow_tf32
        return (*rounds, torch.are_deterministic_algorithms_enabled())

    with pretended():
        before = found()
        seen = [found() for _ in fit(trial("kd", **asked), data=images(), teacher=resnet(), device="cuda")]
        assert [*seen, found()] == [before] * 3


def test_a_gpu_s_logits_in_full_and_in_tf32_lie_on_shelves_of_their_own() -> None:
    def about(device: str, **recipe: Any) -> dict[str, Any]:
        given = Lesson(trial("kd", **recipe), images(), images().train, None, torch.device(device), None)  # type: ignore[arg-type]
        return given.about

    old = {"teacher", "data", "precision", "device", "pass_images"}
    assert about("cpu") == about("cpu", tf32=True)
    assert set(about("cpu")) == set(about("cuda", precision="bf16")) == old
    assert about("cuda", precision="bf16") == about("cuda", precision="bf16", tf32=True)
    assert about("cuda")["tf32"] is False
    assert about("cuda", tf32=True)["tf32"] is True


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_gpu_s_next_epoch_is_looked_up_while_it_trains(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    look = Shelf.look

    def noted(shelf: Shelf, address: torch.Tensor) -> Looked:
        looks.append(threading.current_thread().name)
        return look(shelf, address)

    monkeypatch.setattr(Shelf, "look", noted)
    bank = LogitBank(tmp_path)
    with pretended() as gpu:
        for _ in fit(trial("kd"), data=images(), teacher=resnet(), bank=bank, device=device):
            pass
        named = [wait for wait in gpu.waits if wait.steps and "trainers/views" in wait.line]
    here, ahead = threading.current_thread().name, "bank_0"
    assert looks == ([here, ahead] if device == "cuda" else [here, here])
    assert not named  # shelves have names, and entries addresses, without a word to the GPU
