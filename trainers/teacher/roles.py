"""Whose weights a name says that it has: a student's, a teacher's, an average's over the training.

Names are those in a file, of what a mapping holds and of what stands before keys. They are read by their words, without
regard to case: `model_ema`, `emaModel` and `EMA-model` say the same.
"""

from __future__ import annotations

import re

AVERAGED = frozenset({"ema", "swa", "averaged", "average", "avg", "shadow", "polyak"})
"""Of averaged weights: `state_dict_ema`, `model_ema`, `swa_model`."""
_NETWORK = "(net|network|model)"
_TEACHER = re.compile(rf"((teachers?|tea){_NETWORK}?|{_NETWORK}(teacher|tea)|t(net|model))\d*")
_STUDENT = re.compile(rf"((students?|stu){_NETWORK}?|{_NETWORK}(student|stu)|s(net|model))\d*")
_BESIDE_A_LETTER = AVERAGED | {"model", "net", "network", "module", "backbone", "state", "dict", "best", "last"}
"""Words beside which `t` and `s` say teacher and student: `model_t`, `net_s`; a `vit_t` is a tiny one."""
_BETWEEN_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def words(name: str) -> list[str]:
    """The words of a name, in small letters."""
    return re.split(r"[^a-z0-9]+", _BETWEEN_WORDS.sub("_", name).lower())


def is_averaged(name: str) -> bool:
    """Whether a name is that of averaged weights."""
    return not AVERAGED.isdisjoint(words(name))


def is_teacher(name: str) -> bool:
    """Whether a name is that of the teacher in a distiller's file."""
    return _says(name, _TEACHER, "t") and not _says(name, _STUDENT, "s")


def is_student(name: str) -> bool:
    """Whether a name is that of the student in a distiller's file."""
    return _says(name, _STUDENT, "s") and not _says(name, _TEACHER, "t")


def _says(name: str, word: re.Pattern[str], letter: str) -> bool:
    found = words(name)
    alone = letter in found and set(found) <= _BESIDE_A_LETTER | {letter}
    return alone or any(map(word.fullmatch, found))
