"""Whether the two losses' gradients conflict, and where; and how far classes collapse: DHKD's reasons for two heads.

DHKD (arXiv 2411.08937) holds that a probability-level and a logit-level loss conflict in the linear classifier and not
in the backbone. For each configuration the cosine of their gradients is averaged over epochs, then over seeds; with `n`
seeds it counts as negative or positive where mean ± t(0.975; n - 1) * s / sqrt(n) does not hold 0 (Student's interval).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Literal

from sweep.report import colors, style
from sweep.report.curves import chunks, curve, epoch_axis, foremost, left_out, picture
from sweep.report.fidelity import last
from sweep.report.history import Configuration, History
from sweep.report.markup import Markup, element, items, joined, paragraph, table
from sweep.report.section import Section
from sweep.report.style import Picture, Studio
from sweep.statistics.paired import spread

COSINES = {"conflict_backbone": "backbone", "conflict_head": "head", "conflict_aux_head": "auxiliary head"}
"""Of :mod:`trainers.diagnostics`, with the words for a legend."""
COLLAPSE = {
    "nc1": "NC1, variability inside classes",
    "nc2_equinorm": "NC2, unequal norms",
    "nc2_equiangular": "NC2, unequal angles",
    "nc3": "NC3, distance of head and means",
    "nc4": "NC4, disagreement, %",
}
AUXILIARY = "aux_"
"""Begins the same measures of the auxiliary head."""
LEVEL = 0.975
Sign = Literal["conflict", "agree", "neither", "unknown"]


# -- the verdict ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cosine:
    """The gradients' cosine in one part of the network, averaged over epochs, then over seeds."""

    mean: float
    margin: float | None
    """Half of the interval; None for one seed."""

    @property
    def sign(self) -> Sign:
        """Whether the cosine is below zero, above it, or cannot be told from it."""
        if self.margin is None:
            return "unknown"
        return "conflict" if self.mean < -self.margin else "agree" if self.mean > self.margin else "neither"

    @property
    def text(self) -> str:
        """``−0.31 ± 0.04``."""
        margin = "" if self.margin is None else f" ± {self.margin:.2f}"
        return f"{self.mean:+.2f}{margin}".replace("-", "−")


def cosine(config: Configuration, name: str) -> Cosine | None:
    """None where no seed has it."""
    by_seed = []
    for trial in config.curves.values():
        known = [value for value in trial.numbers.get(name, ()) if not math.isnan(value)]
        by_seed += [fmean(known)] if known else []
    if not by_seed:
        return None
    count = len(by_seed)
    margin = _quantile(count - 1) * spread(by_seed) / math.sqrt(count) if count > 1 else None
    return Cosine(fmean(by_seed), margin)


@lru_cache
def _quantile(freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, LEVEL))


def verdict(head: Cosine | None, backbone: Cosine | None) -> str:
    """Whether the losses conflict in the head and not in the backbone, in one clause."""
    if head is None or backbone is None:
        return "one of the two is not defined"
    if "unknown" in (head.sign, backbone.sign):
        return "one seed: no verdict"
    where = {"head": head.sign == "conflict", "backbone": backbone.sign == "conflict"}
    if all(where.values()):
        return "conflict in the head and in the backbone"
    if where["head"]:
        return "conflict in the head and not in the backbone"
    if where["backbone"]:
        return "conflict in the backbone and not in the head"
    return "no conflict that can be told from none"


# -- the section ------------------------------------------------------------------------------------------------------


def section(history: History, studio: Studio) -> Section | None:
    """Cosines and collapse of every configuration whose epochs carry them."""
    parts = [part for part in (_conflict(history, studio), _collapse(history, studio)) if part]
    return Section("gradients", "Head conflict and neural collapse", joined(parts)) if parts else None


def _conflict(history: History, studio: Studio) -> Markup:
    told = [
        config for pair in history.pairs for config in history.of(pair) if any(config.has(name) for name in COSINES)
    ]
    if not told:
        return Markup()
    lines = [joined([element("b", f"{config.name}, {config.pair}:"), " ", _sentence(config)]) for config in told]
    by_pair = {pair: [config for config in told if config.pair == pair] for pair in history.pairs}
    drawn = {pair: foremost(history, some) for pair, some in by_pair.items()}
    pictures = [
        _cosines(history, studio, some, name, pair)
        for pair, members in drawn.items()
        for some in chunks(history, members)
        for name in COSINES
        if any(config.has(name) for config in some)
    ]
    remark = left_out([config for members in drawn.values() for config in members], told)
    head = [element("h3", "Gradient conflict"), paragraph(_CONFLICT), items(lines)]
    return joined([*head, remark, style.gallery(pictures)])


_CONFLICT = (
    "Cosine between the gradients of the probability-level and the logit-level loss: below 0 they pull against each"
    " other. Verdicts: mean over epochs, then over seeds, with its 95 % interval."
)


def _sentence(config: Configuration) -> str:
    cosines = {word: cosine(config, name) for name, word in COSINES.items()}
    numbers = ", ".join(f"{word} {value.text}" for word, value in cosines.items() if value is not None)
    return f"{numbers}: {verdict(cosines['head'], cosines['backbone'])}."


def _cosines(history: History, studio: Studio, some: Sequence[Configuration], name: str, pair: str) -> Picture:
    """One part of the network; all parts have the same axis."""
    figure, axes = style.new_figure()
    for place, config in enumerate(some):
        curve(axes, config, name, history.looks.row(config.row), place, config.name)
    axes.axhline(0, color=colors.INK, linewidth=0.8)
    epoch_axis(axes)
    axes.set(ylabel="cosine of the gradients", title=f"{COSINES[name]}, {pair}", ylim=(-1.05, 1.05))
    style.legend_below(figure, axes)
    return studio.picture(figure, f"Gradient conflict in the {COSINES[name]}, {pair}", name.replace("_", "-"), pair)


def _collapse(history: History, studio: Studio) -> Markup:
    parts = []
    for pair in history.pairs:
        told = [config for config in history.of(pair) if config.has("nc1")]
        drawn = foremost(history, told)
        pictures = [_variability(history, studio, some, pair) for some in chunks(history, drawn)]
        if told:
            parts.append(joined([element("h4", pair), left_out(drawn, told), style.gallery(pictures), _measures(told)]))
    return joined([element("h3", "Neural collapse"), paragraph(_COLLAPSE), *parts]) if parts else Markup()


_COLLAPSE = (
    "How far features and classifier have collapsed to one point for each class (Papyan, Han & Donoho 2020): each"
    " measure is 0 at full collapse. Table: mean ± standard deviation over seeds after the last epoch that was"
    " measured; “auxiliary” is the auxiliary head and the features that its last layer reads."
)


def _variability(history: History, studio: Studio, some: Sequence[Configuration], pair: str) -> Picture:
    lines = {"nc1": "-"} | ({"aux_nc1": "--"} if any(config.has("aux_nc1") for config in some) else {})
    return picture(history, studio, some, lines, "NC1", pair, "collapse", logarithmic=True)


def _measures(told: Sequence[Configuration]) -> Markup:
    names = [AUXILIARY * second + name for second in (False, True) for name in COLLAPSE]
    names = [name for name in names if any(config.has(name) for config in told)]
    titles = [COLLAPSE[name.removeprefix(AUXILIARY)] + ", auxiliary" * name.startswith(AUXILIARY) for name in names]
    rows = [[config.name, *(last(config, name) for name in names)] for config in told]
    return table(["method", *titles], rows, right=range(1, len(names) + 1))
