"""What a pickle may build, told by its opcodes before it is read; and what it has built, without what it shadows.

torch's `weights_only` runs no code, but builds whatever is asked for: tuples in tuples, whose hash overflows the stack
of the process, and attributes of a mapping or a tensor that stand before its methods, so that reading it calls what the
file chose.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

from torch import Tensor

DEEPEST = 100
"""Tuples in each other. Those of `torch.save` are three deep."""
PICKLES = 5
"""That stand one after the other in a file from before torch 1.6."""
RECORD = "data.pkl"
"""What an archive's pickle is called."""
MARKED = -1
POPPED = {
    "APPEND": 1,
    "SETITEM": 2,
    "REDUCE": 2,
    "NEWOBJ": 2,
    "BINPERSID": 1,
    "BUILD": 1,
    "APPENDS": MARKED,
    "SETITEMS": MARKED,
    "TUPLE": MARKED,
    "TUPLE1": 1,
    "TUPLE2": 2,
    "TUPLE3": 3,
}
"""How many values an opcode takes from the stack; those that are not named take none."""
PUSH_NOTHING = frozenset({"APPEND", "SETITEM", "BUILD", "APPENDS", "SETITEMS", "PROTO", "STOP"})


def check_nesting(file: BinaryIO) -> None:
    """Raises ValueError for a file of `torch.save`'s that nests tuples deeper than :data:`DEEPEST`.

    A torn one is left to torch. The file is read from its beginning, and left anywhere.
    """
    file.seek(0)
    if zipfile.is_zipfile(file):
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                if name.rpartition("/")[2] == RECORD:
                    _check(pickletools.genops(archive.read(name)))
        return
    file.seek(0)
    for _ in range(PICKLES):
        if not _check(pickletools.genops(file)):
            return


def _check(opcodes: Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]]) -> bool:
    """Whether a pickle is whole. What stands for each value is how many tuples lie in each other there."""
    stacks: list[list[int]] = [[]]
    memo: dict[int, int] = {}
    try:
        for opcode, argument, _ in opcodes:
            _follow(opcode.name, argument, stacks, memo)
    except (ValueError, IndexError, KeyError, MemoryError) as error:
        if isinstance(error, _NestedError):
            raise
        return False
    return True


class _NestedError(ValueError):
    """Tuples lie too deep in each other."""


def _follow(name: str, argument: Any, stacks: list[list[int]], memo: dict[int, int]) -> None:
    """One opcode on the stacks, of which each mark begins a new one."""
    if name == "MARK":
        stacks.append([])
    elif name.endswith("PUT"):
        memo[argument] = stacks[-1][-1]
    elif name.endswith("GET"):
        stacks[-1].append(memo[argument])
    else:
        count = POPPED.get(name, 0)
        taken = stacks.pop() if count == MARKED else [stacks[-1].pop() for _ in range(count)]
        depth = 1 + max(taken, default=0) if name.startswith("TUPLE") else 0
        if depth > DEEPEST:
            raise _NestedError(f"it nests tuples more than {DEEPEST} deep")
        if name not in PUSH_NOTHING:
            stacks[-1].append(depth)


def without_attributes(content: Any) -> Any:
    """The same, in which no mapping and no tensor has attributes of its own, which could stand before its methods."""
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        waiting += _inside(value)
        if isinstance(value, Mapping | Tensor) and hasattr(value, "__dict__"):
            value.__dict__.clear()
    return content


def _inside(value: Any) -> Iterable[Any]:
    """What a container holds, by the methods of its class."""
    if isinstance(value, dict):
        return dict.values(value)
    if isinstance(value, list | tuple):
        return value
    return vars(value).values() if type(value).__name__ == "Namespace" else ()
