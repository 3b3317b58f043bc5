"""The CIFAR ResNets, against mdistiller's: same keys, same numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests import goldens
from trainers.models import MODELS, Features, Network, build
from trainers.models.resnet import ARCHITECTURES, BasicBlock

INDEX = goldens.index("resnet")
ARRAYS = goldens.arrays("resnet")
OPTION_A = {
    "resnet20a": 269_722,
    "resnet32a": 464_154,
    "resnet44a": 658_586,
    "resnet56a": 853_018,
    "resnet110a": 1_727_962,
}
"""Parameters for ten classes, as the paper rounds them: 0.27 M, 0.46 M, 0.66 M, 0.85 M, 1.7 M (its table 6)."""


@dataclass
class Filled:
    """A network with the goldens' weights, and its pass in evaluation mode."""

    name: str
    network: Network
    passed: Features
    golden: dict[str, Any]

    def array(self, what: str) -> Tensor:
        return ARRAYS[f"{self.name}/{what}"]


@pytest.fixture(scope="module", params=INDEX)
def filled(request: pytest.FixtureRequest) -> Filled:
    network = build(request.param, num_classes=100).eval()
    goldens.fill(network)
    with torch.no_grad():
        passed = network.features(goldens.images(0, 2, 3, 32, 32))
    return Filled(request.param, network, passed, INDEX[request.param])


def assert_near(found: Tensor, expected: Tensor, share: float) -> None:
    """Equal up to `share` of the largest entry."""
    torch.testing.assert_close(found, expected, rtol=0, atol=share * expected.abs().max().item())


def test_the_goldens_cover_the_family() -> None:
    assert set(INDEX) == set(ARCHITECTURES) - set(OPTION_A)
    assert set(ARCHITECTURES) <= set(MODELS)


def test_keys_and_shapes_are_those_of_released_checkpoints(filled: Filled) -> None:
    state = filled.network.state_dict()
    assert [[key, list(value.shape)] for key, value in state.items()] == filled.golden["keys"]


def test_parameters_are_as_many(filled: Filled) -> None:
    assert sum(parameter.numel() for parameter in filled.network.parameters()) == filled.golden["params"]


def test_logits_and_pooled_features_are_equal(filled: Filled) -> None:
    assert_near(filled.passed.logits, filled.array("logits"), filled.golden["logits_atol_over_largest"])
    assert_near(filled.passed.pooled, filled.array("pooled"), 1e-5)


@pytest.mark.parametrize("which", ["feats", "preact_feats"])
def test_stage_features_have_the_same_statistics(filled: Filled, which: str) -> None:
    found = filled.passed.stages if which == "feats" else filled.passed.preactivations
    expected = filled.golden[which]
    if which == "preact_feats":  # there the stem's is taken after its ReLU
        found = (F.relu(found[0]), *found[1:])
    assert len(found) == len(expected)
    for feature, golden in zip(found, expected, strict=True):
        assert list(feature.shape) == golden["shape"]
        assert feature.mean().item() == pytest.approx(golden["mean"], abs=1e-5 * golden["std"])
        assert feature.std(correction=0).item() == pytest.approx(golden["std"], rel=1e-5)


def test_what_a_network_says_of_itself_is_true(filled: Filled) -> None:
    network, passed = filled.network, filled.passed
    assert list(network.stage_channels) == filled.golden["stage_channels"]
    assert [stage.shape[1] for stage in passed.stages] == list(network.stage_channels)
    assert passed.pooled.shape == (2, network.feature_dim)
    assert network.classifier.weight.shape == (100, network.feature_dim)
    assert torch.equal(network.classifier(passed.pooled), passed.logits)
    for before, after in zip(passed.preactivations, passed.stages, strict=True):
        assert torch.equal(F.relu(before), after)
    with torch.no_grad():
        assert torch.equal(network(goldens.images(0, 2, 3, 32, 32)), passed.logits)


def test_a_training_pass_gives_the_same_numbers(filled: Filled) -> None:
    golden = filled.golden["train"]
    network = build(filled.name, num_classes=100).train()
    goldens.fill(network)
    network.double()  # in training mode the deep ones amplify the rounding of fp32 a thousandfold
    logits = network(goldens.images(golden["input_seed"], *golden["input"]).double())
    loss = F.cross_entropy(logits, torch.arange(len(logits)))
    loss.backward()
    norms = [parameter.grad.norm() for parameter in network.parameters() if parameter.grad is not None]
    running = network.state_dict()[golden["running_var_key"]]
    assert_near(logits.detach().float(), filled.array("train_logits"), golden["logits_atol_over_largest"])
    assert loss.item() == pytest.approx(golden["ce_loss"], rel=1e-8)
    assert torch.stack(norms).norm().item() == pytest.approx(golden["grad_norm"], rel=1e-7)
    assert running.mean().item() == pytest.approx(golden["running_var_mean_after"], rel=1e-7)


def test_convolutions_start_with_he_s_variance_of_their_outputs() -> None:
    torch.manual_seed(0)
    block = build("resnet8x4", num_classes=10).layer3[0]
    assert isinstance(block, BasicBlock)
    for conv in (block.conv1, block.conv2):
        assert conv.weight.std().item() == pytest.approx((2 / (9 * 256)) ** 0.5, rel=0.02)
        assert abs(conv.weight.mean().item()) < 1e-3


@pytest.mark.parametrize("size", [4, 7, 8, 12, 16, 33])
def test_images_of_any_size_from_4_pixels_on_go_through(size: int) -> None:
    passed = build("resnet8", num_classes=7).eval().features(torch.randn(2, 3, size, size + 1))
    assert passed.logits.shape == (2, 7)
    assert passed.stages[-1].shape == (2, 64, -(-size // 4), -(-(size + 1) // 4))


# -- option A ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTION_A)
def test_option_a_has_as_many_parameters_as_the_paper_s_networks(name: str) -> None:
    with torch.device("meta"):
        network, projected = build(name, num_classes=10), build(name.removesuffix("a"), num_classes=10)
    assert sum(parameter.numel() for parameter in network.parameters()) == OPTION_A[name]
    without = [key for key in projected.state_dict() if "downsample" not in key]
    assert list(network.state_dict()) == without


@torch.no_grad()
def _by_hand(network: Network, images: Tensor) -> Tensor:
    """A pass of an option-A network, its shortcuts spelt out."""
    state = network.state_dict()

    def normed(x: Tensor, at: str) -> Tensor:
        statistics = (state[f"{at}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, *statistics)

    x = F.relu(normed(F.conv2d(images, state["conv1.weight"], padding=1), "bn1"))
    for key in [key.removesuffix(".conv1.weight") for key in state if key.endswith(".conv1.weight")]:
        first = state[f"{key}.conv1.weight"]
        stride = 2 if first.shape[0] != first.shape[1] else 1
        out = F.relu(normed(F.conv2d(x, first, stride=stride, padding=1), f"{key}.bn1"))
        out = normed(F.conv2d(out, state[f"{key}.conv2.weight"], padding=1), f"{key}.bn2")
        shortcut = torch.zeros_like(out)
        aside = (out.shape[1] - x.shape[1]) // 2
        shortcut[:, aside : aside + x.shape[1]] = x[:, :, ::stride, ::stride]
        x = F.relu(out + shortcut)
    return F.linear(x.mean(dim=(2, 3)), state["fc.weight"], state["fc.bias"])


@pytest.mark.parametrize("size", [(32, 32), (7, 10)])
def test_option_a_passes_every_second_pixel_between_channels_of_zeros(size: tuple[int, int]) -> None:
    network = build("resnet20a", num_classes=10).eval()
    goldens.fill(network)
    images = goldens.images(0, 2, 3, *size)
    with torch.no_grad():
        assert_near(network(images), _by_hand(network, images), 1e-6)
