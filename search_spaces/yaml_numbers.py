"""Numbers that YAML 1.1 reads as others than a person means: ``010`` is 8 there, and ``1:30`` is 90.

A whole number is to the base of 8 there as soon as it begins with a zero. With one digit behind the zero it is what it
seems: ``05`` is 5 to either base, ``08`` and ``09`` are texts, which are refused where a number is wanted, and a list
that is padded to two digits goes on with ``10``. So ``05`` is read. With several digits it may be another (``010``),
and where it is not (``007``) its neighbours are: so all of these are refused. Fractions (``00.5``) have one base alone.
"""

from __future__ import annotations

import re

OCTAL = re.compile(r"[-+]?0_*[0-9][0-9_]*[0-9]")
"""A whole number to the base of 8, of several digits: ``007``, ``010``, ``-0_10``; not ``05``, ``00.5`` or ``0x1F``."""
LONE_UNDERSCORE = re.compile(r"(?<![0-9a-fA-F])_|_(?![0-9a-fA-F])")
"""One that does not stand between two digits."""
OF_OTHERS = re.compile(r"0[oO][0-7]+")
"""To the base of 8, as YAML 1.2 and Python write it; YAML 1.1 takes it for text."""
QUOTES = "or put it in quotes where text is meant"


def misleading(text: str, value: float) -> str | None:
    """What is wrong with a number as it is written, where it may be read as another; None where it is plain.

    Args:
        text: as it stands in the file.
        value: as YAML 1.1 reads it.
    """
    if ":" in text:
        return f"{text} is read to the base of 60, as {value}; write {value}, {QUOTES}"
    if OCTAL.fullmatch(text):
        meant = decimal(text)
        read = "begins with a zero" if meant == str(value) else f"is read to the base of 8, as {value}"
        return f"{text} {read}; write {meant}, {QUOTES}"
    if LONE_UNDERSCORE.search(text):
        return f"{text} has a '_' that does not stand between two digits; write {value}, {QUOTES}"
    return None


def decimal(text: str) -> str:
    """A number without the zeros that it begins with, and without underscores: ``10`` of ``010``."""
    sign, digits = (text[0].replace("+", ""), text[1:]) if text[0] in "+-" else ("", text)
    digits = digits.replace("_", "").lstrip("0")
    return sign + (digits if digits[:1].isdigit() else f"0{digits}")


def padded(text: str) -> str | None:
    """The plain number that a text is, which YAML 1.1 takes for text: 8 of ``08``, 15 of ``0o17``; None for others."""
    if OF_OTHERS.fullmatch(text):
        return str(int(text, 8))
    return decimal(text) if re.fullmatch(r"[-+]?0[0-9]+", text) else None
