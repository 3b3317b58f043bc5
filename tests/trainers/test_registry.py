"""Registries refuse duplicates and name what they know."""

from __future__ import annotations

import pytest

from trainers.errors import InputError
from trainers.registry import Registry


def fruits() -> Registry[int]:
    registry: Registry[int] = Registry("fruit")
    registry.add("pear", 1)
    registry.add("apple", 2)
    return registry


def test_a_registry_is_a_mapping_in_the_order_of_registration() -> None:
    assert dict(fruits()) == {"pear": 1, "apple": 2}
    assert len(fruits()) == 2
    assert "pear" in fruits()
    assert "plum" not in fruits()
    assert 5 not in fruits()
    assert ["unhashable"] not in list(fruits())


def test_the_decorator_registers_and_hands_back() -> None:
    registry: Registry[type] = Registry("class")

    @registry.register("thing")
    class Thing:
        pass

    assert registry["thing"] is Thing


def test_a_name_is_registered_once() -> None:
    registry = fruits()
    with pytest.raises(ValueError, match="fruit 'pear' is registered already"):
        registry.add("pear", 3)
    assert registry["pear"] == 1


def test_an_unknown_name_is_answered_with_a_guess_and_the_known_ones() -> None:
    with pytest.raises(InputError) as error:
        fruits()["appel"]
    assert str(error.value) == "unknown fruit 'appel'; did you mean 'apple'? valid: apple, pear"
    with pytest.raises(InputError) as error:
        fruits()["zzz"]
    assert str(error.value) == "unknown fruit 'zzz'; valid: apple, pear"
