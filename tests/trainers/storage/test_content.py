"""Content keys: equal content, equal key."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers.storage.content import KEY_LENGTH, canonical_json, content_key, file_sha256, tensors_key

LEAVES = st.none() | st.booleans() | st.integers(-1000, 1000) | st.floats(allow_nan=False, allow_infinity=False)
TEXT = st.text("abé", max_size=3)
VALUES = st.recursive(
    LEAVES | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)


def test_a_key_is_the_start_of_a_sha256_anyone_can_compute() -> None:
    text = '{"a":[1.5,null,"é"],"b":{"c":true,"d":1}}'
    value = {"b": {"d": 1, "c": True}, "a": [1.5, None, "é"]}
    assert canonical_json(value) == text
    assert content_key(value) == hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]


@given(st.dictionaries(TEXT, VALUES, max_size=5), st.data())
def test_keys_do_not_depend_on_the_order_of_a_mapping(value: dict[str, Any], data: st.DataObject) -> None:
    items = data.draw(st.permutations(list(value.items())))
    assert content_key(dict(items)) == content_key(value)


@given(VALUES, VALUES)
def test_keys_are_equal_exactly_for_equal_content(one: Any, other: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (content_key(one) == content_key(other)) == same


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_values_that_json_does_not_have_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        content_key({"a": number})


def test_tensor_keys_see_names_types_shapes_and_values() -> None:
    base = {"w": torch.arange(6.0).view(2, 3), "b": torch.zeros(2)}
    changed = [
        {"w": base["w"], "c": base["b"]},
        {"w": base["w"].double(), "b": base["b"]},
        {"w": base["w"].view(3, 2), "b": base["b"]},
        {"w": base["w"] + 1e-6, "b": base["b"]},
        {"w": base["w"]},
    ]
    assert len({tensors_key(tensors) for tensors in [base, *changed]}) == 1 + len(changed)


def test_tensor_keys_do_not_see_order_strides_or_gradients() -> None:
    weight = torch.arange(6.0).view(2, 3)
    strided = weight.t().contiguous().t().requires_grad_()
    assert not strided.is_contiguous()
    assert tensors_key({"a": weight, "b": weight}) == tensors_key({"b": weight, "a": strided})


def test_scalars_and_empty_tensors_have_keys() -> None:
    assert tensors_key({"n": torch.tensor(3)}) != tensors_key({"n": torch.tensor(4)})
    assert tensors_key({"n": torch.zeros(0)}) != tensors_key({})


def test_file_checksums_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    assert file_sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
