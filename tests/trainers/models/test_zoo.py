"""Every architecture against numbers of the definitions that published checkpoints belong to, and against its contract.

`tests/goldens/zoo` holds, per architecture, the digest of the state-dict keys with their shapes, parameter and
multiply-accumulate counts, logits, pooled features, statistics of the stages, and a training pass, as computed in
float32 on the CPU by mdistiller's definitions (`dhkd/ResNet34`: DHKD's). No weights are needed: :func:`_fill` derives
them from the keys. The CIFAR ResNets have goldens of their own, and only the contract is checked here.

What differs on purpose:

* The goldens' first preactivation is rectified already, except for the wide ResNets; here it is not.
* The last layer of tiny_imagenet/MobileNetV2 is linear here, a 1 × 1 convolution there; the state dicts agree.
* The goldens of MobileNetV1 leave the stem out of the stages; here it is the first, as everywhere.
* mdistiller's wide ResNets run the last batch norm twice a pass, so their running variance moves twice.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from trainers.models import MODELS, Network, build
from trainers.models.wrn import WideResNet

pytestmark = pytest.mark.slow(1)

GOLDENS = Path(__file__).parents[2] / "goldens" / "zoo"
INDEX: dict[str, dict[str, Any]] = json.loads((GOLDENS / "zoo.json").read_text())
ARRAYS = np.load(GOLDENS / "zoo.npz", allow_pickle=False)
TRAINED = sorted(name for name, golden in INDEX.items() if "train" in golden)
STATISTICS_TOLERANCE = 1e-5  # of the golden's standard deviation
POOLED_TOLERANCE = 2e-6  # of the largest entry
TRAINED_TOLERANCE = 1e-6  # relative, for numbers of the float64 pass
MOMENTUM = 0.1  # of torch's batch norm

SMALLEST = {"vgg": 8}  # pixels, by the beginning of the name; the others take less


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(params=sorted(INDEX), scope="module")
def case(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def shapes(case: str) -> Network:
    """The golden's architecture without its numbers."""
    return _on_meta(INDEX[case]["model"], INDEX[case]["num_classes"]).eval()


@pytest.fixture(scope="module")
def network(shapes: Network) -> Network:
    """The golden's architecture, filled; tests copy it before they train it."""
    made = copy.deepcopy(shapes)
    made.load_state_dict({key: _fill(key, tuple(value.shape)) for key, value in made.state_dict().items()}, assign=True)
    return made


def _on_meta(name: str, num_classes: int) -> Network:
    """The architecture's shapes, without memory or initialisation."""
    with torch.device("meta"):
        return build(name, num_classes=num_classes)


def _fill(key: str, shape: tuple[int, ...]) -> Tensor:
    """What stands under `key` when the goldens are computed."""
    noise = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    if key.endswith("running_mean"):
        return torch.as_tensor(0.1 * noise).float()
    if key.endswith("running_var"):
        return torch.as_tensor(1 + 0.1 * np.abs(noise)).float()
    if len(shape) > 1:
        return torch.as_tensor(noise / math.sqrt(math.prod(shape[1:]))).float()
    return torch.as_tensor((1 if key.endswith("weight") else 0) + 0.1 * noise).float()


def _images(seed: int, shape: Iterable[int]) -> Tensor:
    return torch.as_tensor(np.random.RandomState(seed).standard_normal(tuple(shape))).float()


def _golden(name: str) -> Tensor:
    return torch.as_tensor(ARRAYS[name])


def _assert_close(found: Tensor, wanted: Tensor, tolerance: float) -> None:
    """Within `tolerance` times the largest entry."""
    torch.testing.assert_close(found, wanted, rtol=0, atol=tolerance * wanted.abs().max().item())


def _assert_statistics(found: Tensor, wanted: dict[str, Any]) -> None:
    assert list(found.shape) == wanted["shape"]
    spread = found.double().std(correction=0).item()
    assert found.double().mean().item() == pytest.approx(wanted["mean"], abs=STATISTICS_TOLERANCE * wanted["std"])
    assert spread == pytest.approx(wanted["std"], rel=STATISTICS_TOLERANCE)


def test_keys_in_order_and_shapes(case: str, shapes: Network) -> None:
    lines = [f"{key} {list(value.shape)}" for key, value in shapes.state_dict().items()]
    assert len(lines) == INDEX[case]["keys"]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == INDEX[case]["keys_sha256"], lines


def test_parameters_and_multiply_accumulates(case: str, shapes: Network) -> None:
    counter = FlopCounterMode(display=False)
    with counter:
        shapes(torch.empty(1, *INDEX[case]["input"][1:], device="meta"))
    assert sum(parameter.numel() for parameter in shapes.parameters()) == INDEX[case]["params"]
    assert counter.get_total_flops() == 2 * INDEX[case]["macs"]


@torch.no_grad()
def test_evaluation(case: str, network: Network) -> None:
    passed = network.features(_images(0, INDEX[case]["input"]))
    _assert_close(passed.logits, _golden(f"{case}/logits"), INDEX[case]["logits_atol_over_largest"])
    if f"{case}/pooled" in ARRAYS:
        _assert_close(passed.pooled, _golden(f"{case}/pooled"), POOLED_TOLERANCE)
    # both lists end with the last stage; where they start is told in this file's docstring
    for stage, wanted in zip(reversed(passed.stages), reversed(INDEX[case]["stages"]), strict=False):
        _assert_statistics(stage, wanted)
    before_last = reversed(passed.preactivations[1:])
    for preactivation, wanted in zip(before_last, reversed(INDEX[case]["preactivations"]), strict=False):
        _assert_statistics(preactivation, wanted)


@pytest.mark.parametrize("case", TRAINED, indirect=True, scope="module")
def test_training(case: str, network: Network) -> None:
    wanted = INDEX[case]["train"]
    # in float64, since training amplifies rounding: the goldens' own two precisions differ by 1e-3 in the gradient
    student = copy.deepcopy(network).double().train()
    variance = student.state_dict()[wanted["running_var_key"]]
    started = variance.clone()
    logits = student(_images(1, wanted["input"]).double())
    loss = F.cross_entropy(logits, torch.arange(len(logits)))
    loss.backward()
    squares = [parameter.grad.square().sum() for parameter in student.parameters() if parameter.grad is not None]
    if isinstance(student, WideResNet):
        variance = _moved_again(started, variance)
    _assert_close(logits.float(), _golden(f"{case}/train_logits"), wanted["logits_atol_over_largest"])
    assert loss.item() == pytest.approx(wanted["ce_loss"], rel=TRAINED_TOLERANCE)
    assert torch.stack(squares).sum().sqrt().item() == pytest.approx(wanted["grad_norm"], rel=TRAINED_TOLERANCE)
    assert variance.mean().item() == pytest.approx(wanted["running_var_mean_after"], rel=TRAINED_TOLERANCE)


def _moved_again(started: Tensor, once: Tensor) -> Tensor:
    """A running statistic after a second pass over the same batch, from its values before and after the first."""
    of_batch = (once - (1 - MOMENTUM) * started) / MOMENTUM
    return (1 - MOMENTUM) * once + MOMENTUM * of_batch


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_contract(name: str) -> None:
    torch.manual_seed(0)
    made = build(name, num_classes=7).eval()
    smallest = next((pixels for start, pixels in SMALLEST.items() if name.startswith(start)), 4)
    for height, width in ((32, 32), (64, 64), (smallest, 2 * smallest + 3)):
        images = torch.randn(1, 3, height, width)
        passed = made.features(images)
        assert torch.equal(passed.logits, made(images))
        assert passed.logits.shape == (1, 7)
        assert passed.pooled.shape == (1, made.feature_dim)
        assert torch.equal(made.classifier(passed.pooled), passed.logits)
        assert tuple(stage.shape[1] for stage in passed.stages) == made.stage_channels
        assert [stage.shape for stage in passed.preactivations] == [stage.shape for stage in passed.stages]
        assert passed.logits.isfinite().all()


@pytest.mark.parametrize("name", ["resnet8", "vgg8", "ShuffleV1", "ShuffleV2", "ResNet18", "MobileNetV1"])
@torch.no_grad()
def test_a_stage_is_its_preactivation_rectified(name: str) -> None:
    passed = build(name, num_classes=3).features(torch.randn(2, 3, 32, 32))
    for stage, preactivation in zip(passed.stages, passed.preactivations, strict=True):
        assert torch.equal(stage, F.relu(preactivation))
        assert preactivation.min() < 0


ONE_OF_EACH = ["resnet8", "wrn_16_1", "vgg8", "MobileNetV2", "ShuffleV1", "ShuffleV2", "ResNet18"]


@pytest.mark.parametrize("name", [*ONE_OF_EACH, "imagenet/MobileNetV2", "tiny_imagenet/MobileNetV2"])
@torch.no_grad()
def test_state_dict_goes_round(name: str, tmp_path: Path) -> None:
    first, second = (build(name, num_classes=5).eval() for _ in range(2))
    torch.save(first.state_dict(), tmp_path / "weights.pt")
    second.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(first(images), second(images))


@pytest.mark.parametrize(
    ("name", "torchvision"), [("ResNet18", "resnet18"), ("ResNet50", "resnet50"), ("MobileNetV2", "mobilenet_v2")]
)
@torch.no_grad()
def test_torchvision_s_networks_load(name: str, torchvision: str) -> None:
    from torchvision import models

    theirs = getattr(models, torchvision)(num_classes=10).eval()
    ours = _on_meta(f"imagenet/{name}", 10).eval()
    ours.load_state_dict(theirs.state_dict(), assign=True)
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(images), theirs(images))


@pytest.mark.parametrize(("name", "std"), [("vgg8", 0.01), ("MobileNetV2", 0.01), ("wrn_16_2", 128**-0.5 / 3**0.5)])
def test_heads_start_as_the_authors_heads(name: str, std: float) -> None:
    torch.manual_seed(0)
    made = build(name, num_classes=100)
    beside = nn.Linear(made.feature_dim, 100)
    made.init_head(beside)
    for head in (made.classifier, beside):
        assert head.weight.std().item() == pytest.approx(std, rel=0.05)
        assert not head.bias.any()


def test_other_heads_stay_as_torch_made_them() -> None:
    head = nn.Linear(64, 10)
    before = copy.deepcopy(head.state_dict())
    build("resnet8", num_classes=10).init_head(head)
    assert all(torch.equal(before[key], value) for key, value in head.state_dict().items())


@pytest.mark.parametrize("name", ["wrn_16_2", "vgg8", "MobileNetV2", "ResNet18"])
def test_convolutions_start_at_the_scale_of_their_fan_out(name: str) -> None:
    torch.manual_seed(0)
    for module in build(name, num_classes=10).modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_out = module.out_channels * math.prod(module.kernel_size)
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=0.05)
            assert module.bias is None or not module.bias.any()
