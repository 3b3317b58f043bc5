"""Words and numbers as people read them, for every part that prints."""

from __future__ import annotations

import re
from collections.abc import Callable

from trainers.errors import kind_of, text_of


def duration(seconds: float) -> str:
    """``45 s``, ``3:20 min`` or ``2:05 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def counted(number: float, what: str) -> str:
    """``1 CPU``, ``0 CPUs``, ``0.25 GPUs``."""
    written = f"{number:,}" if isinstance(number, int) else f"{number:g}"
    return f"{written} {what}" if number == 1 else f"{written} {what}s"


LONGEST_REASON = 160
SECRETS = "password|passwd|pwd|token|secret|api_?key|odbc_connect"
"""In the names of a URI's arguments whose values are not shown; the last holds a whole connection, password and all."""


def first_line(error: BaseException, hide: Callable[[str], str] = str) -> str:
    """An exception in one line: ``ValueError: what it says``."""
    lines = hide(text_of(error)).strip().splitlines()
    text = f"{kind_of(error)}: {lines[0]}" if lines else kind_of(error)
    return shortened(text)


def shortened(line: str) -> str:
    """A line that fits a table."""
    return line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…"


def signed(value: float, decimals: int = 2) -> str:
    """``+0.50`` or ``−0.50``, with a minus sign as wide as the plus."""
    return f"{value:+.{decimals}f}".replace("-", "−")


def without_password(uri: str) -> str:
    """A tracking URI (or a text that holds one) fit to be shown."""
    text = re.sub(r"(://)(?!/)\S*@", r"\1***@", uri)
    return re.sub(rf"(?i)([?&;]\w*(?:{SECRETS})\w*=)[^&\s]*", r"\1***", text)
