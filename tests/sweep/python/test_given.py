"""A spec as a dictionary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sweep
from search_spaces.loader import parse_spec
from sweep.plan.expand import build_plan
from sweep.python.given import spec_of
from tests.support.examples import SPEC, small_spec
from trainers.config import Normalisation
from trainers.errors import InputError


def test_a_dictionary_is_the_spec_that_a_file_of_that_content_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = spec_of(SPEC)
    assert build_plan(spec) == build_plan(small_spec())
    assert parse_spec(spec.text, "small.yaml").recipes == spec.recipes
    assert list(tmp_path.iterdir()) == [], "no file is written"


def test_what_python_has_and_yaml_has_not_is_taken_for_what_it_means() -> None:
    method = {"dhkd": {"alpha": (np.float64(0.5), np.int64(1))}}
    spec = spec_of(SPEC | {"methods": ["scratch", "kd", method], "seeds": range(2), "recipe": dict(SPEC["recipe"])})
    assert build_plan(spec).slots == build_plan(small_spec()).slots


def test_the_same_object_twice_is_no_alias() -> None:
    teachers = {"recipe": {"epochs": 2, "warmup_epochs": 0}}
    pair = {"resnet20 -> resnet8": {"recipe": teachers["recipe"]}}
    assert "&" not in spec_of(SPEC | {"teachers": teachers, "pairs": [pair]}).text


def test_a_teacher_in_a_file_has_its_own_normalisation(tmp_path: Path) -> None:
    (tmp_path / "t.pth").touch()
    said = {"teacher": {"mean": (np.float64(0.5), 0.4, 0.3), "std": 0.5}}
    (pair,) = spec_of(SPEC | {"pairs": [{f"{tmp_path / 't.pth'} -> resnet8": said}]}).pairs
    assert pair.normalisation == Normalisation(mean=(0.5, 0.4, 0.3), std=(0.5, 0.5, 0.5))


def test_all_mistakes_are_told_by_their_keys() -> None:
    with pytest.raises(InputError) as caught:
        sweep.load(SPEC | {"methods": ["kdd"], "recipe": {"base": "digits", "epoch": 3}})
    head, *mistakes = str(caught.value).splitlines()
    assert head == "2 mistakes in the spec; nothing was started"
    assert any("recipe.epoch: unknown key 'epoch'; did you mean 'epochs'?" in line for line in mistakes)
    assert not [line for line in mistakes if "yaml" in line or ":9:" in line]


class Strange:
    """What no spec holds."""

    def __repr__(self) -> str:
        return "<strange>"


def endless() -> dict[str, Any]:
    inner: dict[str, Any] = {}
    inner["recipe"] = inner
    return inner


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (SPEC | {"seeds": Strange()}, "seeds: a spec holds numbers, texts, lists and dictionaries, found <strange>"),
        (SPEC | {"methods": [{"kd": {"temperature": {1, 2}}}]}, r"methods\[0\].kd.temperature: .* found \{1, 2\}"),
        (endless(), "nested deeper than any spec"),
        ({}, "the key 'name' is missing"),
    ],
    ids=["object", "set", "endless", "empty"],
)
def test_what_no_spec_holds_is_refused(content: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        sweep.load(content)
