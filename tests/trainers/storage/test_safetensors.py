"""The safetensors format, as its own package reads and writes it."""

from __future__ import annotations

import pytest
import torch
from safetensors import torch as theirs
from torch import Tensor

from trainers.errors import CheckpointError
from trainers.storage.safetensors import DTYPES, LENGTH, from_bytes, to_bytes


def tensors() -> dict[str, Tensor]:
    """One of each type, a scalar, an empty one, and one that is not contiguous."""
    drawn = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)) * 10
    some = {name.lower(): drawn.to(dtype) for name, dtype in DTYPES.items()}
    return some | {"scalar": torch.tensor(7), "empty": torch.empty(0, 4), "turned": drawn.T}


def equal(ours: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return ours.keys() == others.keys() and all(
        ours[name].dtype == other.dtype and torch.equal(ours[name], other) for name, other in others.items()
    )


def test_its_package_reads_what_is_written_here() -> None:
    assert equal(theirs.load(to_bytes(tensors(), {"architecture": "resnet8"})), tensors())


def test_what_its_package_writes_is_read_here() -> None:
    content = theirs.save({name: one.contiguous() for name, one in tensors().items()}, {"made": "there"})
    read, metadata = from_bytes(content, "weights")
    assert equal(read, tensors())
    assert metadata == {"made": "there"}


def test_equal_tensors_give_equal_bytes_whatever_their_order() -> None:
    backwards = dict(reversed(tensors().items()))
    assert to_bytes(backwards, {"b": "2", "a": "1"}) == to_bytes(tensors(), {"a": "1", "b": "2"})


def test_a_file_that_is_cut_anywhere_is_refused() -> None:
    whole = to_bytes({"a": torch.arange(6.0), "b": torch.tensor(1)}, {})
    for length in range(len(whole)):
        with pytest.raises(CheckpointError, match="weights cannot be read as a safetensors file"):
            from_bytes(whole[:length], "weights")


@pytest.mark.parametrize(
    "head",
    [
        "[]",
        '{"a": 1}',
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 8]}}',
        '{"a": {"dtype": "F32", "shape": [-1, -1], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}',
        '{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}',
        '{"__metadata__": 7}',
    ],
)
def test_a_head_that_leads_elsewhere_is_refused(head: str) -> None:
    with pytest.raises(CheckpointError, match="weights cannot be read as a safetensors file"):
        from_bytes(LENGTH.pack(len(head)) + head.encode() + bytes(8), "weights")
