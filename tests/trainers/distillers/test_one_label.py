"""Methods say whether their own terms read the label of each image; those that do refuse recipes that mix images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.trainers.examples import small_trial
from trainers.check import check, refuse_mixed
from trainers.contract.case import Case, losses
from trainers.data import DATASETS
from trainers.distillers import METHODS
from trainers.distillers.labels import LabelReading, Partners
from trainers.errors import InputError

WITH_LABELS = {"ce", "ce_strong"}
SETTLED: list[tuple[str, dict[str, Any]]] = [
    ("dkd", {"partition": "top1"}),
    ("dhkd", {"main": "dkd"}),
    ("dhkd", {"main": "gdkd"}),
    ("mlkd", {"views": "weak"}),
    ("sdd", {"around": "kd"}),
]
ALL = [*((name, {}) for name in sorted(METHODS)), *SETTLED]
REFUSED = {
    "abkd_dkd",
    "crd",
    "crld",
    "dkd",
    "la",
    "lr_revision",
    "mlkd",
    "nkd",
    "normkd_dkd",
    "rc",
    "rld",
    "sdd",
    "sld",
    "wkd",
}


def given(name: str, params: dict[str, Any]) -> Case:
    return Case(name, params)


@pytest.mark.parametrize(("name", "params"), ALL, ids=str)
def test_a_method_says_whether_its_own_terms_read_labels(name: str, params: dict[str, Any]) -> None:
    case = given(name, params)
    method, batch = case.method(), case.batch
    method.at(1)
    own = losses(method, batch).terms
    again = case.method()
    again.at(1)
    other = losses(again, replace(batch, targets=(batch.targets + 1) % case.classes)).terms
    changed = {term for term, value in own.items() if not torch.equal(value, other[term])}
    # CRD's labels are those of the whole training set, not the batch's
    assert bool(changed - WITH_LABELS) == (method.reads_labels and name != "crd")


@pytest.mark.parametrize(("name", "params"), ALL, ids=str)
def test_a_method_reads_labels_in_its_cross_entropy_as_the_recipe_does(name: str, params: dict[str, Any]) -> None:
    """Smoothed, and mixed where it takes mixed images, in every cross-entropy; nothing else of it changes."""
    case = given(name, params)
    method, batch = case.method(), case.batch
    method.at(1)
    plain = losses(method, batch).terms
    partners = Partners(batch.targets.flip(0), torch.full((len(batch),), 0.3))
    for other in (replace(batch, reading=LabelReading(0.3)), replace(batch, partners=partners)):
        fresh = case.method()
        fresh.at(1)
        read = losses(fresh, other).terms
        assert {term for term in plain if not torch.equal(plain[term], read[term])} == WITH_LABELS & plain.keys()


@pytest.mark.slow(1)
@pytest.mark.parametrize("field", ["mixup", "cutmix"])
def test_who_refuses_mixed_images(field: str) -> None:
    refused = set()
    for name in METHODS:
        try:
            refuse_mixed(given(name, {}).method(), small_trial(name, **{field: 0.5}))
        except InputError:
            refused.add(name)
    assert refused == REFUSED
    for name in METHODS:
        refuse_mixed(given(name, {}).method(), small_trial(name))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("dkd", "method 'dkd' takes every image to have one label"),
        ("mlkd", "method 'mlkd' compares two views of one image"),
        ("crd", "method 'crd' remembers every training image by itself"),
    ],
)
def test_the_plan_refuses_by_name(name: str, why: str) -> None:
    data = DATASETS["digits"](image_size=16).load()
    params = METHODS[name].Params().model_dump(mode="json")
    check(small_trial(name, params), data, "resnet14")
    with pytest.raises(InputError, match=f"{why}, and a mixed image is two; leave out recipe.mixup"):
        check(small_trial(name, params, cutmix=1.0), data, "resnet14")
