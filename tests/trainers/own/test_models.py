"""A network as any module: what it offers to methods, and what it says where that is not enough."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.support.own import TINYNET, Folder
from trainers.config import MethodConfig
from trainers.distillers import METHODS, Batch, Setting, build_distiller
from trainers.errors import InputError
from trainers.models import MODELS, Network, build
from trainers.own.models import PlainNetwork

CLASSES = 10
IMAGES = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Body(nn.Module):
    """A network with two layers that may be the last one; `order` says which is assigned last."""

    def __init__(self, *, head_last: bool = True, tokens: bool = False) -> None:
        super().__init__()
        self.tokens = tokens
        for name in ("hidden", "fc") if head_last else ("fc", "hidden"):
            setattr(self, name, nn.Linear(CLASSES, CLASSES))
        self.conv = nn.Conv2d(3, CLASSES, 3)

    def forward(self, images: Tensor) -> Tensor:
        read = self.hidden(self.conv(images).mean((2, 3))).relu()
        if self.tokens:
            return self.fc(read[:, None].expand(-1, 2, -1)).mean(1)
        out: Tensor = self.fc(read)
        return out


def plain(network: nn.Module | None = None) -> PlainNetwork:
    torch.manual_seed(0)
    return PlainNetwork("net", network if network is not None else Body(), CLASSES)


def batch(teacher: Network) -> Batch:
    targets = torch.tensor([0, 1, 2])
    return Batch(IMAGES, targets, torch.arange(3), 1, teacher.features(IMAGES))


def test_what_the_last_layer_reads_is_found(folder: Folder) -> None:
    folder.load(one=TINYNET)
    network = build("tinynet", num_classes=CLASSES)
    passed = network.features(IMAGES)
    assert (network.feature_dim, network.classifier.out_features) == (8, CLASSES)
    torch.testing.assert_close(network.classifier(passed.pooled), passed.logits)
    assert passed.stages == passed.preactivations == ()
    assert set(network.state_dict()) == {
        f"network.{name}" for name in ("body.0.weight", "body.0.bias", "fc.weight", "fc.bias")
    }


def test_its_exported_graph_takes_other_numbers_of_images_than_it_was_made_with() -> None:
    """As MLflow has it made, from a batch of two: the number of images is a symbol then, and must stay one."""
    network = plain().eval()
    graph = torch.export.export(network, (IMAGES[:2],), dynamic_shapes=({0: torch.export.Dim.AUTO},)).module()
    for count in (1, 3):
        torch.testing.assert_close(graph(IMAGES[:count]), network(IMAGES[:count]))


def test_a_network_of_ours_stays_what_it_is(folder: Folder) -> None:
    folder.load(
        one="from trainers import model\nfrom trainers.models import build\n"
        "model('mine')(lambda num_classes: build('resnet8', num_classes=num_classes))"
    )
    assert build("mine", num_classes=CLASSES).stage_channels


NOT_LAST = "has its logits from another linear layer"


@pytest.mark.parametrize("head_last", [True, False])
@pytest.mark.parametrize("name", sorted(set(METHODS) - {"scratch"}))
def test_every_method_trains_it_or_says_what_is_missing(name: str, head_last: bool) -> None:
    teacher = build("resnet8", num_classes=CLASSES).eval()
    setting = Setting(CLASSES, (8, 8), teacher, torch.arange(20), torch.arange(20) % CLASSES)
    student = plain(Body(head_last=head_last))
    student.features(IMAGES)  # as when a plan is made
    try:
        distiller = build_distiller(MethodConfig(name=name), student, setting)
    except InputError as error:
        assert METHODS[name].teacher_needs == "features" or NOT_LAST in str(error), error
        assert "\n" not in str(error)
        assert any(word in str(error) for word in ("compares stages", "map", "norm", NOT_LAST)), error
        return
    if not distiller.strong_view:
        losses = distiller.losses(batch(teacher))
        assert all(term.isfinite() for term in losses.terms.values())


@pytest.mark.parametrize("name", ["pkt", "rkd", "crd"])
def test_what_the_classifier_reads_is_needed_of_the_teacher_too(name: str) -> None:
    teacher = plain(Body(head_last=False))
    teacher.features(IMAGES)
    setting = Setting(CLASSES, (8, 8), teacher, torch.arange(20), torch.arange(20) % CLASSES)
    with pytest.raises(InputError, match=NOT_LAST):
        build_distiller(MethodConfig(name=name), plain(), setting)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        (nn.Sequential(nn.Conv2d(3, CLASSES, 8), nn.Flatten()), "has no linear layer with 10 outputs"),
        (Body(head_last=False), "has its logits from another linear layer than its last one"),
        (Body(tokens=True), r"gives its last linear layer \[3, 2, 10\], not \[3, D\]"),
    ],
)
def test_where_there_is_no_last_layer_logit_methods_train_and_dhkd_says_so(network: nn.Module, told: str) -> None:
    student = plain(network)
    teacher = build("resnet8", num_classes=CLASSES).eval()
    setting = Setting(CLASSES, (8, 8), teacher)
    passed = student.features(IMAGES)  # as when a plan is made
    assert passed.logits.shape == (3, CLASSES)
    assert passed.pooled.numel() == 0
    build_distiller(MethodConfig(name="kd"), student, setting).losses(batch(teacher))
    with pytest.raises(InputError, match=f"model 'net' {told}, which this method needs"):
        build_distiller(MethodConfig(name="dhkd"), student, setting)


def test_dhkd_trains_its_second_head_on_what_the_first_one_reads(folder: Folder) -> None:
    folder.load(one=TINYNET)
    student, teacher = build("tinynet", num_classes=CLASSES), build("resnet8", num_classes=CLASSES).eval()
    dhkd: Any = build_distiller(MethodConfig(name="dhkd"), student, Setting(CLASSES, (8, 8), teacher))
    assert dhkd.aux_head.in_features == 8
    sum(dhkd.losses(batch(teacher)).terms.values()).backward()
    assert dhkd.aux_head.weight.grad.abs().sum() > 0
    assert student.state_dict().keys() == build("tinynet", num_classes=CLASSES).state_dict().keys()


def test_a_copy_reads_its_own_layers() -> None:
    network = plain()
    network.features(IMAGES)
    twin = copy.deepcopy(network)
    with torch.no_grad():
        twin.classifier.weight.zero_()
    assert twin.classifier is not network.classifier
    passed, other = network.features(IMAGES), twin.features(IMAGES)
    torch.testing.assert_close(network.classifier(passed.pooled), passed.logits)
    torch.testing.assert_close(twin.classifier(other.pooled), other.logits)
    assert not torch.equal(passed.logits, other.logits)


def test_it_goes_through_pickle_and_torch_save(folder: Folder) -> None:
    folder.load(one=TINYNET)
    network = build("tinynet", num_classes=CLASSES)
    network.features(IMAGES)
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    for twin in (pickle.loads(pickle.dumps(network)), torch.load(file, weights_only=False)):
        assert torch.equal(twin(IMAGES), network(IMAGES))
        assert twin.features(IMAGES).pooled.shape == (3, 8)


def test_after_a_pass_that_failed_nothing_of_it_is_kept() -> None:
    network = plain(nn.Sequential(nn.Flatten(), nn.Linear(192, CLASSES), nn.Linear(5, CLASSES)))
    with pytest.raises(RuntimeError):
        network.features(IMAGES)
    copy.deepcopy(network)  # tensors of a graph could not be copied
    assert network._passed == []


@pytest.mark.slow
def test_it_is_compiled(folder: Folder) -> None:
    folder.load(one=TINYNET)
    network = build("tinynet", num_classes=CLASSES)
    compiled = torch.compile(network.features, backend="eager", dynamic=False)
    for _ in range(2):
        passed, eager = compiled(IMAGES), network.features(IMAGES)
        torch.testing.assert_close(passed.logits, eager.logits)
        torch.testing.assert_close(passed.pooled, eager.pooled)


def test_names_of_ours_are_as_before() -> None:
    assert {MODELS.module(name) for name in MODELS} == {""}
