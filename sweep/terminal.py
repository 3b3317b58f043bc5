"""Terminals, pipes and files that do not take all characters: what they lack is spelt out with what they have.

Where a process runs in the locale `C` with a Python that keeps to it, or `PYTHONIOENCODING` says ``ascii`` or
``latin-1``, an arrow would end a command with an error. The streams get an encoding of ours, made of their own, that
spells an arrow as ``->``, ``±`` as ``+-`` and Greek letters by their names.
"""

from __future__ import annotations

import codecs
import io
import re
import sys
import unicodedata
from typing import Any

PREFIX = "spelt_"
"""Before the name of an encoding in that of ours that is made of it."""
_PAIRS = "→ -> ← <- ± +- − - – - — - · - × x ≤ <= ≥ >= ≈ ~ † + ‡ ++ ⟨ < ⟩ > ’ ' ‘ ' “ \" ” \" √ sqrt ‖ || ✓ ok ✗ x • *"
_PAIRS += " ─ - ━ - │ | ├ | └ ` ╴ - ╸ - ╺ - ▁ 1 ▂ 2 ▃ 3 ▄ 4 ▅ 5 ▆ 6 ▇ 7 █ 8 ° deg ∞ inf … ..."
_WORDS = _PAIRS.split()
SPELT = dict(zip(_WORDS[::2], _WORDS[1::2], strict=True))
"""Characters of ours, and how they are spelt."""
GREEK = "GREEK "
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What moves a terminal's cursor, colours it or names its window; tabs and line breaks are ours."""


def fit_streams() -> None:
    """Have standard output and standard error take every text, whatever their encoding is."""
    codecs.register(_ours)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not _takes_all(stream.encoding):
            stream.reconfigure(encoding=f"{PREFIX}{codecs.lookup(stream.encoding).name.replace('-', '_')}")


def printable(text: str) -> str:
    """A text as standard output shows it: whoever aligns columns counts these characters."""
    encoding = getattr(sys.stdout, "encoding", None) or ""
    return spelt(text, encoding.removeprefix(PREFIX)) if encoding.startswith(PREFIX) else text


def visible(text: str) -> str:
    """A text whose control characters a terminal shows rather than obeys: what stands in a file may be anyone's."""
    return CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def spelt(text: str, encoding: str) -> str:
    """The text with all characters spelt that an encoding lacks, by its name."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(character if _has(encoding, character) else _as_ascii(character) for character in text)
    return text


def _takes_all(encoding: str) -> bool:
    return all(_has(encoding, character) for character in SPELT)


def _has(encoding: str, character: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _as_ascii(character: str) -> str:
    """One character in ASCII: as :data:`SPELT` has it, a Greek letter's name, what it is made of, or its number."""
    if character in SPELT:
        return SPELT[character]
    name = unicodedata.name(character, "")
    if name.startswith(GREEK):
        letter = name.rpartition(" ")[2].replace("LAMDA", "LAMBDA")
        return letter.lower() if "SMALL" in name else letter.capitalize()
    parts = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return parts or character.encode("ascii", "backslashreplace").decode()


def _ours(name: str) -> codecs.CodecInfo | None:
    """An encoding of ours, by its name, as Python's registry asks for it."""
    if not name.startswith(PREFIX):
        return None
    base = codecs.lookup(name.removeprefix(PREFIX))

    def encode(text: str, errors: str = "strict") -> tuple[bytes, int]:
        return base.encode(spelt(text, base.name), "backslashreplace")[0], len(text)

    class Encoder(codecs.IncrementalEncoder):
        def encode(self, text: str, final: bool = False) -> bytes:
            return encode(text)[0]

    own: Any = codecs.CodecInfo(
        name=name,
        encode=encode,
        decode=base.decode,
        incrementalencoder=Encoder,
        incrementaldecoder=base.incrementaldecoder,
    )
    return own  # type: ignore[no-any-return]
