"""What `docs/extending.md` says that a plug-in may rely on."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import trainers
from tests.support.own import Folder
from trainers import data, distillers, models
from trainers.distillers import Batch, Losses, Setting, View
from trainers.models import Features

PAGE = (Path(__file__).parents[3] / "docs" / "extending.md").read_text()
RELIED = PAGE.partition("## What you may rely on")[2].partition("\n## ")[0]

ARGUMENTS = {
    "method": ["name", "teacher_needs", "strong_view", "ce_weight", "weight", "warmup_epochs", "summary"],
    "model": ["name"],
    "dataset": ["name", "test_fraction", "summary"],
    "recipe": ["name", "base", "fields"],
}
FIELDS = {
    Batch: {"images", "targets", "index", "epoch", "teacher", "strong"},
    View: {"images", "teacher"},
    Losses: {"logits", "terms"},
    Setting: {"num_classes", "image_size", "teacher", "index", "labels", "seed"},
}


@pytest.mark.parametrize("module", [trainers, distillers, models, data], ids=lambda module: module.__name__)
def test_every_name_that_the_page_promises_is_there(module: object) -> None:
    name = getattr(module, "__name__", "")
    (row,) = [line for line in RELIED.splitlines() if line.startswith(f"| `{name}` |")]
    names = re.findall(r"`([A-Za-z]+)`", row.split("|")[2].partition(": ")[0])
    assert len(names) >= 2
    assert [each for each in names if not hasattr(module, each)] == []


@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_decorators_take_what_they_took(name: str) -> None:
    assert list(inspect.signature(getattr(trainers, name)).parameters) == ARGUMENTS[name]


def test_fields_stay() -> None:
    for kind, fields in FIELDS.items():
        assert {field.name for field in dataclasses.fields(kind)} >= fields
    assert Features._fields[:4] == ("logits", "pooled", "stages", "preactivations")


def test_the_page_s_first_example_is_complete(tmp_path: Path) -> None:
    from trainers.code import unload
    from trainers.distillers import METHODS

    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    try:
        Folder(tmp_path).load(my_losses=blocks[0])
        assert "mykd" in METHODS
    finally:
        unload()


def test_nothing_else_is_offered_by_the_package() -> None:
    assert set(trainers.OFFERED) == set(ARGUMENTS)
    with pytest.raises(AttributeError, match="module 'trainers' has no attribute 'losses'"):
        getattr(trainers, "losses")  # noqa: B009


def test_the_page_s_class_is_a_method(folder: Folder) -> None:
    from trainers.contract import METHOD, Case

    (block,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "(LogitDistiller)" in block]
    head = "from typing import Annotated\nfrom pydantic import Field\nfrom torch import nn\n"
    ours = "from trainers import method\nfrom trainers.distillers import LogitDistiller, MethodParams\n"
    folder.load(one=f"{head}from torch.nn import functional as F\n{ours}{block}")
    some = {"can be planned", "finite scalar terms", "no gradient to the teacher", "a gradient to all that learns"}
    wrong = {one.name: one.wrong(Case("projected", {"scale": 2.0})) for one in METHOD if one.name in some}
    assert wrong == dict.fromkeys(some)
