"""How figures look, on paper and on the page.

A figure is drawn as SVG for the page, where its ink and series colours follow the reader's light or dark mode, and on
request as PNG and PDF for print. Equal figures are equal bytes: ids are salted with a constant, nothing is dated.
"""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree

from sweep.plan.labels import SYMBOLS
from sweep.report import colors
from sweep.report.colors import FAINT, INK
from sweep.report.markup import Markup, element, slug

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

SIZE = (3.7, 2.9)
"""Inches of a figure of curves, without its legend: three stand beside each other on a page, and one fills a phone's
without being made smaller."""
FONT = 10.5
"""Points of all text: 14 pixels, as on the page."""
ROW = 0.22
"""Inches of a legend's row."""
LETTER = 0.086
"""Inches of a letter in a legend."""
LONGEST_NAME = 36
"""Letters of a legend's line."""
CLOSEST = 0.12
"""Share of the axis between two labelled ticks, at least."""
LABEL = 0.095
"""Share of the axis between two labels of :func:`references`, at least."""
MOST_TICKS = 100
"""Without a label; of more values only those with one have a tick."""
DPI = 200
CSS_PIXELS = 96
"""Of an inch."""
RULES: dict[Any, Any] = {
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "legend.fontsize": FONT,
    "xtick.labelsize": FONT,
    "ytick.labelsize": FONT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",  # the page, or the paper, shines through
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "svg.fonttype": "none",  # text stays text: it can be searched, and read aloud
    "svg.hashsalt": "kd-sweep",
    "pdf.fonttype": 42,  # whole TrueType fonts, as journals ask for
}


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib with this style and nothing of the user's; as it was before, afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RULES)
        yield


def new_figure(width: float = SIZE[0], height: float = SIZE[1]) -> tuple[Figure, Axes]:
    """A figure with one panel."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="none")
    return figure, figure.subplots()


@dataclass(frozen=True)
class Picture:
    """A drawn figure."""

    name: str
    """Of its files, without the ending."""
    title: str
    """What it shows."""
    width: int
    """CSS pixels on the page, where there is room."""
    svg: Markup
    figure: Figure | None = None
    """For print; None where the page alone was asked for: hundreds of them take gigabytes."""
    remark: str = ""
    """What the reader is to know of it besides."""

    def printed(self, kind: Literal["png", "pdf"]) -> bytes:
        """The figure's file; to be called while :func:`drawing`, of a picture that is made for print."""
        options: dict[str, dict[str, Any]] = {"png": {"dpi": DPI}, "pdf": {"metadata": {"CreationDate": None}}}
        file = io.BytesIO()
        if self.figure is None:
            raise ValueError(f"{self.name} is drawn for the page alone")
        self.figure.savefig(file, format=kind, facecolor="white", **options[kind])
        return file.getvalue()

    @property
    def markup(self) -> Markup:
        """The drawing with its title below, as wide as it was drawn."""
        told = f"{self.title} ({self.remark})" if self.remark else self.title
        return element("figure", self.svg, element("figcaption", told), style=f"width: {self.width}px")


class Studio:
    """Makes pictures of figures, each under a name of its own.

    Args:
        say: is told which, in a few words.
        prints: whether they can be printed afterwards, besides being on the page.
    """

    def __init__(self, say: Callable[[str], None] = lambda what: None, *, prints: bool = True) -> None:
        self.pictures: list[Picture] = []
        self._say = say
        self._prints = prints
        self._taken: Counter[str] = Counter()

    def picture(self, figure: Figure, title: str, *words: str, remark: str = "") -> Picture:
        """Draw a figure; its name is made of `words`."""
        name = "-".join(slug(word) for word in words if slug(word))
        self._taken[name] += 1
        name += f"-{self._taken[name]}" if self._taken[name] > 1 else ""
        self._say(f"drawing figure {len(self.pictures) + 1}: {title}")
        _lay_out(figure)
        svg = _inline(_as_svg(figure), name, title)
        kept = figure if self._prints else None
        self.pictures.append(Picture(name, title, round(figure.get_figwidth() * CSS_PIXELS), svg, kept, remark))
        return self.pictures[-1]


def gallery(pictures: Sequence[Picture]) -> Markup:
    """Pictures beside each other, as many as there is room for."""
    return element("div", *(picture.markup for picture in pictures), class_="gallery")


def _lay_out(figure: Figure) -> None:
    """Find room for everything once, and not again for each kind of file."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")


def _as_svg(figure: Figure) -> bytes:
    """Drawn once, where `savefig` would draw it twice."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    file = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(file, metadata={"Date": None})  # type: ignore[no-untyped-call]
    return file.getvalue()


# -- SVG inside HTML --------------------------------------------------------------------------------------------------


def _inline(svg: bytes, name: str, title: str) -> Markup:
    """Matplotlib's SVG file as an element of a page: ids of its own, colours that the page decides."""
    root = ElementTree.fromstring(svg)
    root.attrib = {
        "class": "drawn",
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": title,
    }
    for parent in list(root.iter()):
        for child in list(parent):
            if _plain(child.tag) in ("metadata", "style"):  # its one rule stands in the page's own style
                parent.remove(child)
    for node in root.iter():
        node.tag = _plain(node.tag)
        node.attrib = {_plain(key): _adapted(_plain(key), value, name) for key, value in node.attrib.items()}
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _plain(name: str) -> str:
    """A name without its XML name space: HTML knows by itself what belongs to SVG."""
    return name.rpartition("}")[2]


def _adapted(key: str, value: str, name: str) -> str:
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return re.sub(r"^#", f"#{name}-", value)
    if key in ("d", "x", "y", "transform"):
        value = re.sub(r"(?<=\d\.\d\d)\d+", "", value)  # hundredths of a point are fine enough
        return _shortened(value) if key == "d" else value
    if key in ("style", "clip-path"):
        value = re.sub(r"url\(#", f"url(#{name}-", value)
        return re.sub(r"#[0-9a-f]{6}", lambda match: colors.VARIABLES.get(match[0], match[0]), value)
    return value


def _shortened(path: str) -> str:
    """A path without double spaces, nor the letters that go without saying: after its first point lines follow."""
    return (path if re.search("[CQ]|z  L", path) else path.replace("  L ", " ")).replace("  ", " ")


# -- parts of figures -------------------------------------------------------------------------------------------------


def legend_below(figure: Figure, axes: Axes) -> None:
    """The legend of a panel, below it; the figure grows by as much."""
    handles, names = axes.get_legend_handles_labels()
    if not names:
        return
    names = [textwrap.fill(name, LONGEST_NAME) for name in names]
    longest = max(len(line) for name in names for line in name.splitlines())
    width, height = figure.get_size_inches()
    columns = max(1, min(len(names), int(width / (LETTER * longest + 0.55))))
    rows = -(-len(names) // columns) + sum(name.count("\n") for name in names)
    figure.set_size_inches(width, height + ROW * rows + 0.1)
    figure.legend(handles, names, loc="outside lower center", ncols=columns, frameon=False)


def value_axis(axes: Axes, parameter: str, values: Sequence[float]) -> None:
    """The x axis of a swept number, with its values as ticks; logarithmic where they span a factor of five."""
    positive = [value for value in values if value > 0]
    if values[0] >= 0 and len(positive) > 1 and positive[-1] / positive[0] >= 5:
        if values[0] == 0:
            axes.set_xscale("symlog", linthresh=positive[0])
        else:
            axes.set_xscale("log")
    axes.set_xticks(*_thinned(axes, values))
    axes.minorticks_off()
    axes.set_xlabel(SYMBOLS.get(parameter, parameter))


def named_places(axes: Axes, values: Sequence[float], width: float) -> None:
    """The x axis of values that stand side by side, at 0, 1, …: each is named, or every so many in `width` inches."""
    longest = max(len(f"{value:g}") for value in values) + 1
    every = math.ceil(len(values) * longest * LETTER / width)
    places = range(0, len(values), every)
    axes.set_xticks(places, [f"{values[place]:g}" for place in places])


def _thinned(axes: Axes, values: Sequence[float]) -> tuple[list[float], list[str]]:
    """The values, and their labels where there is room for them."""
    axes.get_xlim()  # settles the limits that the transforms below stand on
    places = axes.transAxes.inverted().transform(axes.transData.transform([(value, 0) for value in values]))[:, 0]
    letter = LETTER * axes.figure.get_dpi() / axes.bbox.width
    end = -math.inf  # of the last label, and the room behind it
    labels = []
    for value, place in zip(values, places.tolist(), strict=True):
        text = f"{value:g}"
        room = max(CLOSEST, (len(text) + 1) * letter) / 2
        free = place - room >= end
        end = place + room if free else end
        labels.append(text if free else "")
    if len(values) <= MOST_TICKS:
        return list(values), labels
    named = [(value, text) for value, text in zip(values, labels, strict=True) if text]
    return [value for value, _ in named], [text for _, text in named]


def band(axes: Axes, mean: float, spread: float, color: str, name: str) -> None:
    """A horizontal line with its standard deviation."""
    axes.axhspan(mean - spread, mean + spread, color=color, alpha=0.15, linewidth=0)
    axes.axhline(mean, color=color, linestyle="--", linewidth=1.2, label=name)


@dataclass(frozen=True)
class Reference:
    """A number that a panel's lines are compared with."""

    name: str
    value: float
    color: str = INK
    line: str = "-"


def references(axes: Axes, some: Sequence[Reference]) -> None:
    """A thin line across the panel for each, with its name beside it; to be called when the y axis is settled."""
    low, high = axes.get_ylim()
    place = -1.0
    for one in sorted(some, key=lambda reference: reference.value):
        share = (one.value - low) / (high - low)
        place = max(share, place + LABEL)
        axes.axhline(one.value, color=one.color, linestyle=one.line, linewidth=1, zorder=1)
        axes.annotate(
            one.name,
            (1, one.value),
            xytext=(1.015, place),
            xycoords=axes.get_yaxis_transform(),
            textcoords="axes fraction",
            va="center",
            color=one.color,
            annotation_clip=False,
        )


def plain_log_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis with numbers as people write them: 0.1, 0.5, 1, 5."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
