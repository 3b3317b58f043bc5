"""The auxiliary head, against DHKD's second head."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import nn

from tests import goldens
from trainers.models import auxiliary_head, build

INDEX = goldens.index("resnet")
ARRAYS = goldens.arrays("resnet")
KINDS: tuple[Literal["linear", "nonlinear"], ...] = ("linear", "nonlinear")


@pytest.mark.parametrize("name", INDEX)
def test_keys_and_outputs_are_those_of_the_authors_second_head_less_its_prefix(name: str) -> None:
    student = build(name, num_classes=100).eval()
    goldens.fill(student)
    with torch.no_grad():
        passed = student.features(goldens.images(0, 2, 3, 32, 32))
    for kind in KINDS:
        head, golden = auxiliary_head(kind, student.feature_dim, 100).eval(), INDEX[name][f"aux_{kind}"]
        goldens.fill(head, "fc2.")
        assert [[f"fc2.{key}", list(value.shape)] for key, value in head.state_dict().items()] == golden["extra_keys"]
        counted = [*student.parameters(), *head.parameters()]
        assert sum(parameter.numel() for parameter in counted) == golden["params"]
        expected = ARRAYS[f"{name}/aux_{kind}"]
        tolerance = golden["atol_over_largest"] * expected.abs().max().item()
        torch.testing.assert_close(head(passed.pooled).detach(), expected, rtol=0, atol=tolerance)


def test_the_nonlinear_head_takes_its_size_and_dropout_from_the_caller() -> None:
    head = auxiliary_head("nonlinear", 64, 10, hidden=7, dropout=0.5)
    assert [type(layer) for layer in head.net] == [
        nn.Linear,
        nn.Dropout,
        nn.BatchNorm1d,
        nn.ReLU,
        nn.Linear,
    ]
    assert head.net[0].out_features == 7
    assert head.net[1].p == 0.5
    pooled = torch.randn(9, 64)
    assert not torch.equal(head(pooled), head(pooled))  # dropout draws anew
    assert torch.equal(head.eval()(pooled), head(pooled))
