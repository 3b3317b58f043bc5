"""Recipes of the user's."""

from __future__ import annotations

import pytest

from tests.support.own import Folder
from trainers.errors import InputError
from trainers.recipes import RECIPES

HEAD = "from trainers import method, recipe\n"


def test_a_recipe_is_another_one_with_some_fields_changed(folder: Folder) -> None:
    folder.load(one=f"{HEAD}recipe('mine', base='digits', epochs=7, lr=0.2)")
    assert RECIPES["mine"] == RECIPES["digits"].model_copy(update={"epochs": 7, "lr": 0.2})
    spec = folder.spec(["one.py"], recipe="mine")
    assert (spec.recipe_name, spec.recipes[0].value.epochs) == ("mine", 7)
    spec = folder.spec(["one.py"], recipe={"base": "mine", "lr": [0.1, 0.3]})
    assert [variant.value.epochs for variant in spec.recipes] == [7, 7]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        ("recipe('mine', base='cifr')", "unknown recipe 'cifr'; did you mean 'cifar'?"),
        ("recipe('mine', epochs=0)", "recipe 'mine': epochs: Input should be greater than or equal to 1"),
        ("recipe('mine', epoch=3)", "recipe 'mine': epoch: Extra inputs are not permitted"),
        ("recipe('mine', lr=float('inf'))", "recipe 'mine': lr: Input should be a finite number"),
        ("recipe('digits')", "recipe 'digits' is registered already; give yours another name"),
    ],
)
def test_one_that_cannot_be_is_told_with_its_line(folder: Folder, call: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        folder.load(one=f"{HEAD}\n{call}")
    assert str(error.value).endswith(f"{folder.path / 'one.py'}:3: {told}") or told in str(error.value)
    assert f"{folder.path / 'one.py'}:3: " in str(error.value)
