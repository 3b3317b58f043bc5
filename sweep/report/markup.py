"""HTML in which names, specs and error messages stay text: whatever is not :class:`Markup` is escaped."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Sequence

EMPTY_ELEMENTS = ("br", "meta")
"""Elements without an end."""


class Markup(str):
    """Text that is HTML already; made in this module and of drawn pictures only."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str) -> Markup:
    """``<tag name="value">children</tag>``; `class_` is written ``class``, and `aria_label` ``aria-label``."""
    named = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{html.escape(value)}"' for name, value in attributes.items()
    )
    if tag in EMPTY_ELEMENTS:
        return Markup(f"<{tag}{named}>")
    return Markup(f"<{tag}{named}>{joined(children)}</{tag}>")


def joined(parts: Iterable[str], between: str = "") -> Markup:
    """Parts one after the other, each escaped unless it is markup."""
    return Markup(escaped(between).join(escaped(part) for part in parts))


def escaped(text: str) -> Markup:
    """Text as HTML; what is markup already stays as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(text))


def paragraph(*children: str) -> Markup:
    """One paragraph of text."""
    return element("p", *children)


def items(lines: Iterable[str]) -> Markup:
    """A bulleted list; nothing where there are no lines."""
    bullets = [element("li", line) for line in lines]
    return element("ul", *bullets) if bullets else Markup()


def table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, right: Collection[int] = (), caption: str = ""
) -> Markup:
    """A table in a box that scrolls sideways; the first cell of each row is its head.

    Args:
        columns: names.
        rows: as many cells each as there are columns.
        right: places of the columns that are aligned to the right.
        caption: stands below.
    """

    def cell(tag: str, place: int, text: str, **attributes: str) -> Markup:
        return element(tag, text, **({"class_": "number"} if place in right else {}), **attributes)

    head = element("tr", *(cell("th", place, name, scope="col") for place, name in enumerate(columns)))
    body = [
        element(
            "tr",
            *(
                cell("td", place, text) if place else cell("th", place, text, scope="row")
                for place, text in enumerate(row)
            ),
        )
        for row in rows
    ]
    whole = element("table", element("thead", head), element("tbody", *body))
    box = element("div", whole, class_="scroll", tabindex="0")
    return joined([box, element("p", caption, class_="caption")] if caption else [box])


def facts(pairs: Iterable[tuple[str, str]]) -> Markup:
    """Names with their values, in two columns."""
    lines = [joined([element("dt", name), element("dd", value)]) for name, value in pairs]
    return element("dl", *lines)


def folded(summary: str, content: str) -> Markup:
    """Content that opens when its summary is clicked."""
    return element("details", element("summary", summary), content)


def slug(text: str) -> str:
    """A name as a part of anchors and file names: ``resnet20→resnet8`` is ``resnet20-resnet8``."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower().replace("α", "alpha").replace("γ", "gamma")).strip("-.")
