"""The average of a student's weights: what it is, what it decides, and that it goes on as it was."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainers.examples import finish, small_trial
from trainers.data import ImageData
from trainers.exported import read_network
from trainers.fit import WEIGHTS, fit, seeded_model
from trainers.loop.ema import Average
from trainers.models import Network
from trainers.storage.content import tensors_key

EMA = {"decay": 0.8}


def test_it_is_timm_s_and_torch_s() -> None:
    utils: Any = pytest.importorskip("timm.utils")
    network = seeded_model("resnet8", 10, seed=0)
    average, theirs = Average(network, 0.9), utils.ModelEmaV3(network, decay=0.9)
    torchs = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=True
    )
    torchs.n_averaged.fill_(1)  # else it begins with the network after the first step
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for step in range(4):
        images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        network.train()(images).logsumexp(1).sum().backward()
        optimizer.step()
        average.update()
        theirs.update(network)
        torchs.update_parameters(network)
    counts = {name for name, value in network.state_dict().items() if not value.is_floating_point()}
    assert counts
    for name, value in average.network.state_dict().items():
        torch.testing.assert_close(value, theirs.module.state_dict()[name])
        if name not in counts:
            torch.testing.assert_close(value, torchs.module.state_dict()[name])
        else:
            assert value == network.state_dict()[name] == 4


def test_the_student_trains_as_without(few: ImageData, teacher: Network) -> None:
    plain, student = finish(fit(small_trial("kd"), data=few, teacher=teacher))
    beside, same = finish(fit(small_trial("kd", ema=EMA | {"predicts": False}), data=few, teacher=teacher))
    assert tensors_key(student.state_dict()) == tensors_key(same.state_dict())
    for one, other in zip(plain, beside, strict=True):
        assert (one.loss, one.test_acc, one.val_acc) == (other.loss, other.test_acc, other.val_acc)
        assert sorted(other.diagnostics) == ["ema_test_acc", "ema_val_acc"]
        assert one.diagnostics == {}


def test_what_predicts_is_measured_and_exported(few: ImageData, teacher: Network, tmp_path: Path) -> None:
    averaged, network = finish(fit(small_trial("kd", ema=EMA), data=few, teacher=teacher, folder=tmp_path))
    beside, student = finish(fit(small_trial("kd", ema=EMA | {"predicts": False}), data=few, teacher=teacher))
    for one, other in zip(averaged, beside, strict=True):
        assert (one.test_acc, one.val_acc) == (other.diagnostics["ema_test_acc"], other.diagnostics["ema_val_acc"])
        assert one.diagnostics == {"student_test_acc": other.test_acc, "student_val_acc": other.val_acc}
        assert one.loss == other.loss
    assert tensors_key(network.state_dict()) != tensors_key(student.state_dict())
    written = read_network(tmp_path / WEIGHTS, 10, (8, 8))
    assert tensors_key(written.state_dict()) == tensors_key(network.state_dict())
    assert not written.training


@pytest.mark.parametrize("method", ["dho", "simkd", "dhkd", "crd"])
def test_what_a_method_predicts_through_is_averaged_with_it(
    method: str, few: ImageData, teacher: Network, tmp_path: Path
) -> None:
    config = small_trial(method, ema={"decay": 0.0})
    results, network = finish(fit(config, data=few, teacher=teacher, folder=tmp_path / "averaged"))
    plain, student = finish(fit(small_trial(method), data=few, teacher=teacher, folder=tmp_path / "plain"))
    assert tensors_key(network.state_dict()) == tensors_key(student.state_dict())  # nothing of the past is kept
    assert [one.test_acc for one in results] == [one.test_acc for one in plain]


def test_a_network_is_followed_and_left_alone() -> None:
    network = seeded_model("resnet8", 10, seed=0)
    before = copy.deepcopy(network.state_dict())
    average = Average(network, 0.5)
    assert all(torch.equal(value, before[name]) for name, value in average.network.state_dict().items())
    with torch.no_grad():
        next(network.parameters()).add_(1)
    average.update()
    first = next(iter(before))
    torch.testing.assert_close(average.network.state_dict()[first], before[first] + 0.5)
    torch.testing.assert_close(network.state_dict()[first], before[first] + 1)
    assert all(parameter.requires_grad for parameter in network.parameters())
