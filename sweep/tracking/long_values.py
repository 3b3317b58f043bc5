"""Values that are longer than MLflow keeps them, in parts; what is read back is never cut.

A value that fits stands as it is. Of one that does not, the first part begins with ``⟨3⟩``, how many there are, and the
others stand beside it, by the value's name and their number: ``chosen.4f….1``, ``chosen.4f….2``. Parts that a longer
value has left behind are not counted, and so not read.
"""

from __future__ import annotations

import re
from itertools import count

_PARTS = re.compile(r"⟨(\d+)⟩")


def in_parts(values: dict[str, str], longest: int) -> dict[str, str]:
    """The values by their names, those of more than `longest` characters in parts."""
    parts: dict[str, str] = {}
    for name, value in values.items():
        parts |= {name: value} if len(value) <= longest else _parts(name, value, longest)
    return parts


def joined(parts: dict[str, str]) -> dict[str, str]:
    """The values from their parts, and what is whole as it is; a value of which a part is missing is left out."""
    heads = {name: int(found[1]) for name, value in parts.items() if (found := _PARTS.match(value))}
    names = {name: [name, *(f"{name}.{number}" for number in range(1, many))] for name, many in heads.items()}
    single = {name for name in parts if name not in heads and not _is_part(name, parts)}
    whole = {
        name: _PARTS.sub("", "".join(parts[one] for one in some), count=1)
        for name, some in names.items()
        if all(one in parts for one in some)
    }
    return {name: value for name, value in parts.items() if name in single} | whole


def _is_part(name: str, parts: dict[str, str]) -> bool:
    """Whether a name is that of another's part, be it one that a longer value has left behind."""
    whole, _, number = name.rpartition(".")
    return number.isdecimal() and whole in parts


def _parts(name: str, value: str, longest: int) -> dict[str, str]:
    """A long value in the fewest parts that hold it and their number."""
    for many in count(2):
        whole = f"⟨{many}⟩{value}"
        if len(whole) <= many * longest:
            pieces = [whole[start : start + longest] for start in range(0, len(whole), longest)]
            return {f"{name}.{number}" if number else name: piece for number, piece in enumerate(pieces)}
    raise AssertionError("unreachable")
