"""timm's architectures behind our interface, on its small test networks; nothing is downloaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
import torch

from trainers.errors import InputError
from trainers.models import MODELS, build
from trainers.models.timm_networks import TimmNetwork, _names

GENERAL = ["test_resnet", "test_efficientnet", "test_vit", "convnext_atto"]


@pytest.fixture
def without_timm(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A world in which timm cannot be found."""
    monkeypatch.setitem(sys.modules, "timm", None)
    _names.cache_clear()
    yield
    _names.cache_clear()


@pytest.mark.parametrize("name", GENERAL)
@torch.no_grad()
def test_contract(name: str) -> None:
    torch.manual_seed(0)
    made = build(f"timm:{name}", num_classes=7).eval()
    assert isinstance(made, TimmNetwork)
    for side in (32, 64):
        images = torch.randn(2, 3, side, side)
        passed = made.features(images)
        assert torch.equal(passed.logits, made(images))
        torch.testing.assert_close(passed.logits, made.network(images))
        assert passed.logits.shape == (2, 7)
        assert passed.pooled.shape == (2, made.feature_dim)
        assert torch.equal(made.classifier(passed.pooled), passed.logits)
        assert tuple(stage.shape[1] for stage in passed.stages) == made.stage_channels
        assert [stage.shape for stage in passed.preactivations] == [stage.shape for stage in passed.stages]
        if passed.unpooled.numel():
            torch.testing.assert_close(passed.unpooled.mean(dim=(2, 3)), passed.pooled)


@torch.no_grad()
def test_a_convolutional_network_hands_out_its_stem_and_stages() -> None:
    passed = build("timm:test_resnet", num_classes=7).eval().features(torch.randn(1, 3, 64, 64))
    assert [tuple(stage.shape[1:]) for stage in passed.stages] == [
        (32, 32, 32),
        (32, 16, 16),
        (48, 8, 8),
        (192, 4, 4),
        (96, 2, 2),
    ]
    assert passed.unpooled.shape == (1, 96, 2, 2)


@torch.no_grad()
def test_a_transformer_hands_out_its_tokens_as_maps() -> None:
    passed = build("timm:test_vit", num_classes=7).eval().features(torch.randn(1, 3, 32, 64))
    assert [tuple(stage.shape) for stage in passed.stages] == [(1, 64, 2, 4)] * 6
    assert passed.unpooled.numel() == 0  # the classifier reads the class token, not the mean of a map


def test_an_image_that_the_patches_do_not_divide_is_a_runtime_error_as_from_torch() -> None:
    with pytest.raises(RuntimeError, match="divisible by patch size"):
        build("timm:test_vit", num_classes=7)(torch.randn(1, 3, 30, 32))


def test_a_timm_network_learns() -> None:
    torch.manual_seed(0)
    made = build("timm:test_vit", num_classes=7).train()
    made(torch.randn(2, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())


def test_the_same_seed_gives_the_same_network() -> None:
    torch.manual_seed(4)
    first = build("timm:test_resnet", num_classes=7).state_dict()
    torch.manual_seed(4)
    second = build("timm:test_resnet", num_classes=7).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_names_are_known_without_being_listed() -> None:
    assert "timm:deit_tiny_patch16_224" in MODELS
    assert "timm:deit_tny_patch16_224" not in MODELS
    assert not any(name.startswith("timm:") for name in MODELS)


def test_an_unknown_name_gets_a_guess() -> None:
    with pytest.raises(InputError) as error:
        build("timm:deit_tny_patch16_224", num_classes=3)
    assert str(error.value) == (
        "unknown model 'timm:deit_tny_patch16_224'; did you mean 'timm:deit_tiny_patch16_224'?"
        " valid: the names of timm.list_models()"
    )


def test_two_heads_are_refused() -> None:
    with torch.device("meta"), pytest.raises(InputError, match="does not end in one linear layer"):
        build("timm:deit_tiny_distilled_patch16_224", num_classes=3)


@pytest.mark.usefixtures("without_timm")
def test_without_timm_the_command_that_installs_it_is_named() -> None:
    with pytest.raises(InputError, match=r"models named 'timm:…' need the package timm: pip install timm"):
        build("timm:test_vit", num_classes=3)
    assert "resnet8" in MODELS


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "resnet18", "regnety_002"])
def test_drop_path_leaves_the_weights_and_the_evaluation_as_they_are(name: str) -> None:
    torch.manual_seed(0)
    plain = build(f"timm:{name}", num_classes=7)
    torch.manual_seed(0)
    made = build(f"timm:{name}", num_classes=7, drop_path=0.4)
    state = plain.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in made.state_dict().items())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for parameter in (*plain.parameters(), *made.parameters()):
            if parameter.ndim == 1:
                parameter.fill_(1)  # the last norm of a branch starts at 0, where nothing is lost with it
        assert torch.equal(plain.eval()(images), made.eval()(images))
        assert not torch.equal(plain.train()(images), made.train()(images))


@pytest.mark.parametrize("name", ["resnet8", "imagenet/ResNet18", "timm:vgg11"])
def test_where_there_is_no_drop_path_none_is_promised(name: str) -> None:
    with torch.device("meta"), pytest.raises(InputError, match=f"model '{name}' has no drop path; leave out"):
        build(name, num_classes=7, drop_path=0.1)
