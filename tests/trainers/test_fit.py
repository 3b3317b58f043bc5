"""The training loop: repeatable, resumable, paired, and honest about divergence."""

from __future__ import annotations

import math
import random
import shutil
import signal
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.support.processes import forked
from tests.trainers.examples import finish, small_trial
from trainers.config import TrialConfig
from trainers.data import ImageData, Split, TrainingData
from trainers.data.sources.digits import Digits
from trainers.distillers import kd_loss
from trainers.draws import order
from trainers.errors import CheckpointError, DivergedError, InputError, StorageError
from trainers.fit import fit, seeded_model
from trainers.loop.schedule import learning_rate
from trainers.loop.step import mean_terms
from trainers.models import Network, build
from trainers.result import EpochResult
from trainers.storage.checkpoint import from_bytes
from trainers.storage.content import tensors_key
from trainers.teaching.lesson import LiveTeacher
from trainers.training import _cuts

TRIALS = {
    "scratch": small_trial(),
    "kd": small_trial("kd"),
    "dhkd nonlinear": small_trial("dhkd", {"head": "nonlinear"}),  # has dropout
    "dhkd aligned": small_trial("dhkd", {"align": True}),
}
FROZEN = {"lr": 1e-60, "epochs": 1}
"""A learning rate (0 in fp32) at which no weight moves, so that the weights after the epoch are those before it."""


class Bench:
    """Runs trials on the small data set."""

    def __init__(self, data: ImageData, teacher: Network) -> None:
        self.data, self.teacher = data, teacher
        self._whole: dict[str, tuple[list[EpochResult], str]] = {}

    def start(self, config: TrialConfig, folder: Path | None = None) -> Any:
        teacher = self.teacher if config.teacher is not None else None
        return fit(config, data=self.data, teacher=teacher, folder=folder)

    def run(self, config: TrialConfig, folder: Path | None = None) -> tuple[list[EpochResult], str]:
        """Results of a run to the end, and the key of the student's weights."""
        results, student = finish(self.start(config, folder))
        return results, tensors_key(student.state_dict())

    def whole(self, config: TrialConfig) -> tuple[list[EpochResult], str]:
        """The same without a folder and never interrupted; computed once per config."""
        if config.key not in self._whole:
            self._whole[config.key] = self.run(config)
        return self._whole[config.key]

    def stop_after(self, config: TrialConfig, folder: Path, epochs: int) -> list[EpochResult]:
        training = self.start(config, folder)
        results = [next(training) for _ in range(epochs)]
        training.close()
        return results


@pytest.fixture(scope="module")
def bench(few: ImageData, teacher: Network) -> Bench:
    return Bench(few, teacher)


def newest_checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").iterdir(), reverse=True)


# -- repeatable -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("config", TRIALS.values(), ids=TRIALS)
def test_results_repeat_bit_for_bit(bench: Bench, config: TrialConfig) -> None:
    assert bench.run(config) == bench.whole(config)


def test_results_do_not_depend_on_anybody_else_s_random_numbers(bench: Bench) -> None:
    config = TRIALS["dhkd nonlinear"]
    torch.manual_seed(123)
    training, results = bench.start(config), []
    for _ in range(config.recipe.epochs):
        results.append(next(training))
        torch.rand(17)
        torch.manual_seed(5)
    assert results == bench.whole(config)[0]


def test_python_s_and_numpy_s_generators_are_left_alone(bench: Bench) -> None:
    python, numpy = random.getstate(), np.random.get_state()
    bench.run(small_trial("dhkd", {"head": "nonlinear"}, epochs=1))
    assert random.getstate() == python
    assert np.array_equal(np.random.get_state()[1], numpy[1])


def test_drawing_a_network_leaves_torch_s_generator_alone() -> None:
    before = torch.get_rng_state()
    seeded_model("resnet8", 10, seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_and_settings_change_the_numbers(bench: Bench) -> None:
    configs = [small_trial("kd", seed=0), small_trial("kd", seed=1), small_trial("kd", {"alpha": 0.5})]
    assert len({bench.whole(config)[1] for config in configs}) == 3


# -- resumable ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("epochs", [1, 2, 3])
@pytest.mark.parametrize("config", TRIALS.values(), ids=TRIALS)
def test_a_stopped_trial_goes_on_as_if_never_stopped(
    bench: Bench, config: TrialConfig, epochs: int, tmp_path: Path
) -> None:
    before = bench.stop_after(config, tmp_path, epochs)
    assert not any(result.replayed for result in before)
    results, weights = bench.run(config, tmp_path)
    assert (results, weights) == bench.whole(config)
    assert [result.replayed for result in results] == [epoch <= epochs for epoch in (1, 2, 3)]
    assert [result.seconds for result in results[:epochs]] == [result.seconds for result in before]


def test_a_trial_stopped_after_every_epoch_ends_the_same(bench: Bench, tmp_path: Path) -> None:
    config = TRIALS["dhkd nonlinear"]
    for epoch in (1, 2, 3):
        bench.stop_after(config, tmp_path, epoch)
    assert bench.run(config, tmp_path) == bench.whole(config)


def test_a_finished_trial_is_replayed_without_training(bench: Bench, tmp_path: Path) -> None:
    config = TRIALS["kd"]
    bench.run(config, tmp_path)
    checkpoints = newest_checkpoints(tmp_path)
    results, weights = bench.run(config, tmp_path)
    assert (results, weights) == bench.whole(config)
    assert all(result.replayed for result in results)
    assert newest_checkpoints(tmp_path) == checkpoints


@pytest.mark.parametrize("damage", ["cut", "bit"])
@pytest.mark.parametrize("config", TRIALS.values(), ids=TRIALS)
def test_after_a_torn_checkpoint_the_one_before_it_is_used(
    bench: Bench, config: TrialConfig, damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench.stop_after(config, tmp_path, 2)
    newest = newest_checkpoints(tmp_path)[0]
    data = bytearray(newest.read_bytes())
    data[len(data) // 3] ^= 64
    newest.write_bytes(data if damage == "bit" else data[: len(data) // 2])
    results, weights = bench.run(config, tmp_path)
    assert (results, weights) == bench.whole(config)
    assert [result.replayed for result in results] == [True, False, False]
    assert "is damaged" in caplog.text
    assert [path.name[:10] for path in newest_checkpoints(tmp_path)] == ["epoch-0003", "epoch-0002"]


def test_with_every_checkpoint_torn_training_starts_again(bench: Bench, tmp_path: Path) -> None:
    config = TRIALS["kd"]
    bench.stop_after(config, tmp_path, 2)
    for path in newest_checkpoints(tmp_path):
        path.write_bytes(b"torn")
    results, weights = bench.run(config, tmp_path)
    assert (results, weights) == bench.whole(config)
    assert not any(result.replayed for result in results)


def test_checkpoints_of_another_trial_are_refused(bench: Bench, tmp_path: Path) -> None:
    one, other = small_trial(seed=1), small_trial(seed=2)
    bench.stop_after(one, tmp_path, 1)
    with pytest.raises(CheckpointError, match=f"holds checkpoints of trial {one.key}, not of {other.key}"):
        next(bench.start(other, tmp_path))


def two_epochs(config: TrialConfig, folder: Path, told: Connection) -> None:
    """In a process of its own: train on what this process loads itself, tell every epoch, and wait after the second."""
    torch.set_num_threads(1)
    digits = Digits(image_size=8).load()
    few = replace(digits, test=digits.test.take(torch.arange(100)))
    for result in fit(config, data=few, teacher=seeded_model("resnet14", 10, seed=99), folder=folder):
        told.send(result.epoch)
        if result.epoch == 2:
            told.recv()


def test_a_killed_process_goes_on_as_if_never_killed(bench: Bench, tmp_path: Path) -> None:
    config = TRIALS["dhkd nonlinear"]
    context = forked()
    ours, theirs = context.Pipe()
    process = context.Process(target=two_epochs, args=(config, tmp_path, theirs))
    process.start()
    theirs.close()  # so that its end is heard
    heard = [ours.recv() for _ in range(2)]
    process.kill()
    process.join()
    ours.close()
    assert heard == [1, 2]
    assert process.exitcode == -signal.SIGKILL
    results, weights = bench.run(config, tmp_path)
    assert (results, weights) == bench.whole(config)
    assert [result.replayed for result in results] == [True, True, False]


def test_a_folder_that_cannot_be_written_is_a_storage_error(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="cannot write"):
        next(bench.start(small_trial(), tmp_path / "file"))


# -- paired ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow(1)
def test_a_seed_means_the_same_weights_order_and_views_for_every_method(bench: Bench) -> None:
    configs = [
        small_trial(**FROZEN),
        small_trial("kd", **FROZEN),
        *(small_trial("dhkd", {"head": head}, **FROZEN) for head in ("linear", "nonlinear", "shared")),
        small_trial("dhkd", {"align": True}, **FROZEN),
        small_trial("dhkd", {"aux_loss": "kl", "hidden": 7}, **FROZEN),
    ]
    runs = [bench.whole(config) for config in configs]
    # the BatchNorm statistics, part of the weights, saw every image in its view and its batch
    assert len({weights for _, weights in runs}) == 1
    assert len({results[0].terms["ce"] for results, _ in runs}) == 1
    assert len({results[0].train_acc for results, _ in runs}) == 1


def test_weights_before_training_are_those_of_the_seed(bench: Bench) -> None:
    _, student = finish(bench.start(small_trial("dhkd", {"head": "nonlinear"}, seed=4, **FROZEN)))
    start = seeded_model("resnet8", 10, seed=4)
    assert tensors_key(dict(student.named_parameters())) == tensors_key(dict(start.named_parameters()))
    other = seeded_model("resnet8", 10, seed=5)
    assert all(
        not torch.equal(a, b)
        for (key, a), b in zip(start.named_parameters(), other.parameters(), strict=True)
        if "conv" in key or key == "fc.weight"
    )


# -- methods in the loop --------------------------------------------------------------------------------------------


def test_the_loss_is_the_weighted_sum_of_the_terms(bench: Bench) -> None:
    for params in ({}, {"ce_weight": 0.3, "alpha": 2.0}):
        config = small_trial("kd", params)
        weights = {"ce_weight": 0.1, "alpha": 0.9} | params
        for result in bench.whole(config)[0]:
            expected = weights["ce_weight"] * result.terms["ce"] + weights["alpha"] * result.terms["kd"]
            assert result.loss == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("kd", {"ce_weight": 1, "alpha": 0}),
        ("dhkd", {"alpha": 0}),
        ("dhkd", {"alpha": 0, "align": True}),
        ("dhkd", {"alpha_epochs": 0}),
        ("dhkd", {"alpha": 0, "head": "shared"}),
    ],
    ids=str,
)
def test_without_its_distillation_term_a_method_is_scratch(bench: Bench, method: str, params: dict[str, Any]) -> None:
    results, weights = bench.whole(small_trial(method, params))
    expected, expected_weights = bench.whole(small_trial())
    assert weights == expected_weights
    assert [result.loss for result in results] == [result.loss for result in expected]
    assert [result.test_acc for result in results] == [result.test_acc for result in expected]


def test_a_term_of_weight_0_is_still_measured(bench: Bench) -> None:
    result = bench.whole(small_trial("kd", {"ce_weight": 0, "alpha": 1}))[0][0]
    assert result.loss == pytest.approx(result.terms["kd"])
    assert result.terms["ce"] > 0


def test_alpha_ends_after_its_epochs(bench: Bench) -> None:
    results, weights = bench.whole(small_trial("dhkd", {"alpha_epochs": 1}))
    ever = bench.whole(small_trial("dhkd"))
    assert results[0] == ever[0][0]
    assert results[0].loss == pytest.approx(results[0].terms["ce"] + results[0].terms["binary_kl_norm"])
    for result in results[1:]:
        assert result.loss == pytest.approx(result.terms["ce"])
    assert weights != ever[1]


def test_after_alpha_s_end_the_auxiliary_head_rests(bench: Bench, tmp_path: Path) -> None:
    bench.run(small_trial("dhkd", {"alpha_epochs": 2}), tmp_path)
    third, second = (from_bytes(path.read_bytes(), "checkpoint") for path in newest_checkpoints(tmp_path))
    for key in ("aux_head.weight", "aux_head.bias"):  # a gradient of zeros would let decay and momentum move it on
        assert torch.equal(third["distiller"][key], second["distiller"][key])
    assert not torch.equal(third["distiller"]["student.fc.weight"], second["distiller"]["student.fc.weight"])


def test_the_auxiliary_loss_can_be_kl(bench: Bench) -> None:
    results, _ = bench.whole(small_trial("dhkd", {"aux_loss": "kl", "head": "linear"}))
    assert set(results[0].terms) == {"ce", "kl"}
    assert all(math.isfinite(result.terms["kl"]) and result.terms["kl"] > 0 for result in results)


def test_kl_on_a_shared_head_is_kd_with_other_weights(bench: Bench) -> None:
    one = bench.whole(
        small_trial("dhkd", {"aux_loss": "kl", "head": "shared", "ce_weight": 0.1, "alpha": 0.9, "temperature": 4})
    )
    other = bench.whole(small_trial("kd"))
    assert one[1] == other[1]
    assert [result.terms["kl"] for result in one[0]] == [result.terms["kd"] for result in other[0]]


@pytest.mark.slow(1)
@pytest.mark.parametrize("align", [False, True])
def test_a_shared_head_trains(bench: Bench, align: bool) -> None:
    config = small_trial("dhkd", {"head": "shared", "align": align}, epochs=8)
    results, _ = bench.whole(config)
    assert results[-1].loss < 0.8 * results[0].loss


def test_alignment_changes_the_training(bench: Bench) -> None:
    assert bench.whole(small_trial("dhkd", {"align": True}))[1] != bench.whole(small_trial("dhkd"))[1]


def test_a_teacher_comes_out_as_it_went_in(bench: Bench) -> None:
    before = tensors_key(bench.teacher.state_dict())
    bench.teacher.train()
    bench.run(small_trial("kd", epochs=1))
    assert not bench.teacher.training
    assert tensors_key(bench.teacher.state_dict()) == before
    assert all(parameter.grad is None for parameter in bench.teacher.parameters())


def test_the_teacher_s_pass_keeps_no_graph(bench: Bench) -> None:
    live = LiveTeacher(bench.teacher, torch.autocast("cpu", enabled=False))
    (view,) = live.view(torch.randn(2, 3, 8, 8), torch.arange(2), [2])
    taught = view.teacher
    assert taught is not None
    tensors = [taught.logits, taught.pooled, *taught.stages, *taught.preactivations]
    assert not any(tensor.requires_grad for tensor in tensors)


def test_kd_imitates_its_teacher(bench: Bench) -> None:
    config = small_trial("kd", {"ce_weight": 0, "alpha": 1}, epochs=8, views="none")
    results, student = finish(bench.start(config))
    assert results[-1].terms["kd"] < 0.5 * results[0].terms["kd"]
    cut = TrainingData.cut(bench.data, config.recipe)
    images = (cut.train.images.float() / 255 - bench.data.mean[0]) / bench.data.std[0]
    with torch.no_grad():
        taught = bench.teacher(images)
        after = kd_loss(student(images), taught)
        before = kd_loss(seeded_model("resnet8", 10, seed=0).eval()(images), taught)
    assert after < before


# -- what comes out -------------------------------------------------------------------------------------------------


def test_training_learns(bench: Bench) -> None:
    results, student = finish(bench.start(small_trial(epochs=12, samples_per_class=20)))
    assert results[-1].loss < 0.5 * results[0].loss
    assert results[-1].test_acc > 40  # chance is 10; 58 on one kind of processor, 73 on another
    assert not student.training


def test_results_are_plausible(bench: Bench) -> None:
    for config in TRIALS.values():
        results, _ = bench.whole(config)
        assert [result.epoch for result in results] == [1, 2, 3]
        for result in results:
            assert result.val_acc is not None
            assert result.val_acc5 is not None
            assert 0 <= result.train_acc <= result.train_acc5 <= 100
            assert 0 <= result.val_acc <= result.val_acc5 <= 100
            assert 0 <= result.test_acc <= result.test_acc5 <= 100
            assert result.test_acc == round(result.test_acc)  # 100 images
            assert math.isfinite(result.loss)
            assert result.seconds > 0
            assert result.images_per_second > 0


def test_the_rate_is_that_of_the_epoch_s_last_step(bench: Bench) -> None:
    config = small_trial(schedule="cosine", warmup_epochs=1)
    rates = [result.lr for result in bench.whole(config)[0]]
    assert rates == [learning_rate(config.recipe, epoch, 2, 3) for epoch in (1, 2, 3)]


def test_without_a_validation_split_there_is_no_validation_accuracy(bench: Bench) -> None:
    for result in bench.whole(small_trial(val_fraction=0.0, epochs=1))[0]:
        assert result.val_acc is None
        assert result.val_acc5 is None


@pytest.mark.parametrize("config", TRIALS.values(), ids=TRIALS)
def test_exported_weights_are_the_bare_student_s(bench: Bench, config: TrialConfig, tmp_path: Path) -> None:
    _, student = finish(bench.start(config, tmp_path))
    content = from_bytes((tmp_path / "weights.pt").read_bytes(), "weights")
    assert content["architecture"] == "resnet8"
    bare = build("resnet8", num_classes=10)
    assert list(content["state_dict"]) == list(bare.state_dict()) == list(student.state_dict())
    bare.load_state_dict(content["state_dict"])
    assert tensors_key(bare.state_dict()) == tensors_key(student.state_dict())


def test_without_a_folder_nothing_is_written(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bench.run(small_trial(epochs=1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("params", [{"head": "linear"}, {"head": "nonlinear", "align": True}], ids=str)
def test_bf16_runs_and_keeps_the_weights_in_fp32(bench: Bench, params: dict[str, Any]) -> None:
    results, student = finish(bench.start(small_trial("dhkd", params, precision="bf16", epochs=2)))
    fp32, _ = bench.whole(small_trial("dhkd", params, epochs=2))
    assert all(parameter.dtype == torch.float32 for parameter in student.parameters())
    assert results[0].loss != fp32[0].loss
    assert results[0].loss == pytest.approx(fp32[0].loss, rel=0.05)
    assert all(math.isfinite(value) for result in results for value in result.terms.values())


# -- divergence and impossible settings -----------------------------------------------------------------------------


@pytest.mark.parametrize("config", TRIALS.values(), ids=TRIALS)
def test_an_absurd_learning_rate_is_a_divergence_that_repeats(
    bench: Bench, config: TrialConfig, tmp_path: Path
) -> None:
    absurd = small_trial(config.method.name, config.method.params, lr=1e6, epochs=20)
    found = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        with pytest.raises(DivergedError) as error:
            bench.run(absurd, folder)
        found.append((error.value.term, error.value.epoch, error.value.step))
    assert found[0] == found[1]
    term, epoch, step = found[0]
    assert term in bench.whole(config)[0][0].terms
    assert 1 <= epoch <= 20
    assert 1 <= step <= 3
    assert f"'{term}' became" in str(error.value)
    assert f"epoch {epoch}, step {step}" in str(error.value)
    with pytest.raises(DivergedError) as error:  # what was done is kept, and ends in the same place
        bench.run(absurd, folder)
    assert (error.value.term, error.value.epoch, error.value.step) == found[0]


@pytest.mark.parametrize("config", [TRIALS["kd"], TRIALS["dhkd nonlinear"]], ids=["kd", "dhkd"])
def test_a_divergence_names_the_term_at_fault(few: ImageData, config: TrialConfig) -> None:
    broken = seeded_model("resnet14", 10, seed=99)
    with torch.no_grad():
        broken.classifier.bias[3] = float("nan")
    with pytest.raises(DivergedError) as error:
        next(fit(config, data=few, teacher=broken))
    assert (error.value.term, error.value.epoch, error.value.step) == (
        {"kd": "kd", "dhkd": "binary_kl_norm"}[config.method.name],
        1,
        1,
    )


@pytest.mark.parametrize(
    ("records", "term", "step"),
    [
        ([[1, 1, 1], [math.nan, math.nan, math.nan], [math.nan, math.inf, 1]], "ce", 2),
        ([[1, 1, 1], [1, 1, 1], [math.inf, 1, math.inf]], "kd", 3),
        ([[math.inf, 1, 1]], "loss", 1),  # finite terms whose weighted sum is not
    ],
)
def test_the_first_bad_step_and_the_first_bad_term_are_named(records: list[list[float]], term: str, step: int) -> None:
    with pytest.raises(DivergedError) as error:
        mean_terms(torch.tensor(records), [32] * len(records), ["loss", "ce", "kd"], epoch=4)
    assert (error.value.term, error.value.epoch, error.value.step) == (term, 4, step)


@pytest.mark.parametrize(
    ("method", "params", "epoch"),
    [("kd", {"ce_weight": 0, "alpha": 0}, 1), ("dhkd", {"ce_weight": 0, "alpha_epochs": 2}, 3)],
    ids=["kd", "dhkd"],
)
def test_an_epoch_without_any_loss_is_refused_before_training(
    bench: Bench, method: str, params: dict[str, Any], epoch: int
) -> None:
    with pytest.raises(InputError, match=f"'{method}': every loss weight is 0 in epoch {epoch}"):
        next(bench.start(small_trial(method, params)))


def test_unknown_names_are_refused_before_training(bench: Bench) -> None:
    with pytest.raises(InputError, match="unknown method 'dhdk'; did you mean 'dhkd'"):
        next(bench.start(small_trial("dhdk")))
    unknown = TrialConfig.model_validate(small_trial().model_dump() | {"model": "resnet9"})
    with pytest.raises(InputError, match="unknown model 'resnet9'"):
        next(bench.start(unknown))


# -- batches --------------------------------------------------------------------------------------------------------


@given(st.integers(2, 200), st.integers(2, 70), st.integers(0, 5), st.integers(1, 5))
def test_batches_hold_every_image_once_and_never_one_alone(count: int, size: int, seed: int, epoch: int) -> None:
    index = torch.arange(count) + 1000
    images = index[:, None, None, None].expand(-1, 3, 1, 1)
    parts = order(seed, epoch, index).tensor_split(_cuts(count, size))
    batches = list(Split(images, index, index).batches(parts))
    sizes = [len(batch) for batch in batches]
    assert sorted(torch.cat([batch.index for batch in batches]).tolist()) == index.tolist()
    assert all(len(batch) == size for batch in batches[:-1])
    assert 2 <= sizes[-1] <= size + 1
    assert len(sizes) == max(1, count // size + (count % size > 1))
    for batch in batches:
        assert torch.equal(batch.images[:, 0, 0, 0], batch.labels)


def test_a_last_image_alone_joins_the_batch_before(bench: Bench) -> None:
    # 80 images: 79 + 1; BatchNorm on pooled features would refuse a batch of one
    results, _ = bench.run(small_trial("dhkd", {"head": "nonlinear"}, batch_size=79, epochs=1))
    assert math.isfinite(results[0].loss)


def test_a_small_last_batch_weighs_by_its_images(bench: Bench) -> None:
    # at a rate that moves nothing, the mean over 32 + 32 + 16 images is that of its batches, by their sizes
    config = small_trial("kd", views="none", teacher_logits="fp32", **FROZEN)
    result = bench.whole(config)[0][0]
    cut = TrainingData.cut(bench.data, config.recipe)
    student, total, correct = seeded_model("resnet8", 10, seed=0).train(), 0.0, 0
    with torch.no_grad():
        for batch in cut.train.batches(order(0, 1, cut.train.index).tensor_split(_cuts(len(cut.train), 32))):
            images = (batch.images.float() / 255 - bench.data.mean[0]) / bench.data.std[0]
            logits = student(images)
            total += kd_loss(logits, bench.teacher(images)).item() * len(batch)
            correct += int((logits.argmax(1) == batch.labels).sum())
    assert len(cut.train) == 80
    assert result.terms["kd"] == pytest.approx(total / 80, rel=1e-5)
    assert result.train_acc == 100 * correct / 80


def test_copies_of_a_folder_go_on_alike(bench: Bench, tmp_path: Path) -> None:
    config = TRIALS["scratch"]
    bench.stop_after(config, tmp_path / "one", 1)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert bench.run(config, tmp_path / "one") == bench.run(config, tmp_path / "two")
