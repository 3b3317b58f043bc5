"""Recipe fields that are mappings: what is wrong with one is told with how it would be right, and that is right."""

from __future__ import annotations

import pytest

from search_spaces.loader import parse_spec
from trainers.errors import SpecError

SPEC = "name: a\ndataset: digits\npairs: [resnet20 -> resnet8]\nmethods: [kd]\nrecipe: {%s}\n"


def told(recipe: str) -> list[str]:
    """What is wrong with a recipe, mistake by mistake."""
    with pytest.raises(SpecError) as error:
        parse_spec(SPEC % recipe, "a.yaml")
    return [mistake.message for mistake in error.value.mistakes]


@pytest.mark.parametrize(
    ("field", "value", "right"),
    [
        ("ema", "0.999", "{decay: 0.999}"),
        ("ema", "true", "{decay: 0.9999, predicts: true}"),
        ("ema", "5", "{decay: 0.9999, predicts: true}"),
        ("ema", "'yes'", "{decay: 0.9999, predicts: true}"),
        ("randaugment", "9", "{magnitude: 9}"),
        ("randaugment", "on", "{magnitude: 9.0, std: 0.5, operations: 2}"),
        ("ema", "{decay: [0.9, 0.99]}", "[{decay: 0.9}, {decay: 0.99}]"),
        ("randaugment", "{magnitude: [5, 9], std: 0.1}", "[{magnitude: 5, std: 0.1}, {magnitude: 9, std: 0.1}]"),
    ],
)
def test_an_example_goes_with_the_message_and_is_right(field: str, value: str, right: str) -> None:
    (message,) = told(f"{field}: {value}")
    assert message.endswith(f"; write {right}")
    assert parse_spec(SPEC % f"{field}: {right}", "a.yaml").pairs


def test_each_of_a_grid_has_its_own() -> None:
    told_of = {"ema[0]": "0.9", "ema[1]": "0.99"}
    expected = [f"recipe.{path}: should be an object, found {n}; write {{decay: {n}}}" for path, n in told_of.items()]
    assert told("ema: [0.9, 0.99]") == expected


def test_a_range_of_mappings_is_answered_with_a_choice() -> None:
    (message,) = told("ema: {range: [0.9, 0.99]}")
    right = "{choice: [{decay: 0.9}, {decay: 0.99}]}"
    assert message == f"recipe.ema.range: its values are mappings, which have no range; write {right}"
    spec = parse_spec(SPEC % f"ema: {right}", "a.yaml")
    assert [set(variant.space) for variant in spec.recipes] == [{"ema"}]


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("ema: {rate: 0.9}", "unknown key 'rate'; valid: decay, predicts"),
        ("ema: {decya: 0.9}", "unknown key 'decya'; did you mean 'decay'? valid: decay, predicts"),
        ("ema: {decay: 2}", "decay: should be less than 1, found 2"),
        ("randaugment: {std: -1}", "std: should be greater than or equal to 0, found -1"),
    ],
)
def test_of_a_mapping_the_field_that_is_wrong_is_named(recipe: str, message: str) -> None:
    assert told(recipe) == [f"recipe.{recipe.partition(':')[0]}: {message}"]
