"""What every method promises: the requirements of :mod:`trainers.contract`, and what is ours alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch.nn import functional as F

from trainers.config import MethodConfig
from trainers.contract import METHOD, Case, Requirement
from trainers.contract.training import STUDENTS, families
from trainers.distillers import METHODS, LogitDistiller, Setting, View, build_distiller

NEEDY = [name for name, method in METHODS.items() if method.teacher_needs != "nothing"]
TWO_VIEWS = [name for name, method in METHODS.items() if method.strong_view]
ELSEWHERE = {"time and memory", "hyperparameters that count"}
"""Tests assert no clock; and test_hyperparameters.py asks more of ours than whether they count."""

WHOLE_TRAININGS = {"a student of every family", "resumes bit for bit"}
"""Two thirds of the time of all."""

REMARKED = {("rc", "the loss's own gradient"): "held fixed"}
"""What a method is remarked upon for by intention: RC's student is its own target."""


@cache
def case(name: str) -> Case:
    """A method; all its tests share the teacher and the batch, which no method of ours changes."""
    return Case(name)


@pytest.mark.parametrize(
    "requirement",
    [
        pytest.param(one, marks=[pytest.mark.slow(1)] if one.name in WHOLE_TRAININGS else [])
        for one in METHOD
        if one.name not in ELSEWHERE
    ],
    ids=str,
)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_holds_without_a_remark(name: str, requirement: Requirement[Case]) -> None:
    of = Case(name) if requirement.name == "one device, and no waiting for it" else case(name)
    expected = REMARKED.get((name, requirement.name))
    found = requirement.check(of)
    assert found is None if expected is None else expected in str(found)


def test_a_student_of_every_family_meets_every_method_that_sees_more_than_logits() -> None:
    assert families(case("kd")) == STUDENTS
    sees_logits = {name for name, method in METHODS.items() if issubclass(method, LogitDistiller)} - {"kd"}
    assert {name for name in METHODS if families(case(name)) != STUDENTS} == sees_logits


@pytest.mark.parametrize("name", METHODS)
def test_each_view_that_the_method_reads_has_its_cross_entropy(name: str) -> None:
    method, batch = case(name).method().eval(), case(name).batch  # so that two views in one pass are as two passes
    views = {"ce": batch.images} | ({"ce_strong": batch.need_strong().images} if method.strong_view else {})
    terms = method.losses(batch).terms
    assert terms["ce"] > 0
    for term, images in views.items():
        torch.testing.assert_close(terms[term], F.cross_entropy(method.labelled(images), batch.targets))


@pytest.mark.parametrize("name", NEEDY)
def test_a_missing_teacher_is_a_wiring_error(name: str) -> None:
    """Met when the method is built, or else by its first batch."""
    of = case(name)
    batch = replace(of.batch, teacher=None, strong=View(of.batch.need_strong().images))
    setting = Setting(of.classes, image_size=(8, 8), index=of.setting.index, labels=of.labels)
    with pytest.raises(TypeError, match="needs a teacher"):
        build_distiller(MethodConfig(name=name), of.student, setting).losses(batch)


def test_a_missing_strong_view_is_a_wiring_error() -> None:
    for name in TWO_VIEWS:
        with pytest.raises(TypeError, match="needs a strong view"):
            case(name).method().losses(replace(case(name).batch, strong=None))
