"""How far students follow their teacher, where the recipe asks for diagnostics."""

from __future__ import annotations

from statistics import fmean

from sweep.report import style
from sweep.report.curves import chunks, foremost, left_out, picture
from sweep.report.history import Configuration, History
from sweep.report.markup import element, joined, paragraph, table
from sweep.report.section import Section
from sweep.report.style import Studio
from sweep.statistics.paired import spread

MEASURES = {
    "fidelity_agreement": "same class, %",
    "fidelity_kl": "KL(teacher ‖ student), nats",
    "fidelity_correlation": "difference of class correlations",
}
"""Of :mod:`trainers.diagnostics`, with the words for an axis."""


def section(history: History, studio: Studio) -> Section | None:
    """Curves and last values of every configuration that was compared with its teacher."""
    parts = []
    for pair in history.pairs:
        told = [config for config in history.of(pair) if any(config.has(name) for name in MEASURES)]
        names = [name for name in MEASURES if any(config.has(name) for config in told)]
        drawn = foremost(history, told)
        pictures = [
            picture(history, studio, some, {name: "-"}, MEASURES[name], pair, name.replace("_", "-"))
            for name in names
            for some in chunks(history, drawn)
        ]
        if told:
            columns = ["method", *(MEASURES[name] for name in names)]
            rows = [[config.name, *(last(config, name) for name in names)] for config in told]
            numbers = table(columns, rows, right=range(1, len(columns)))
            parts.append(joined([element("h3", pair), left_out(drawn, told), style.gallery(pictures), numbers]))
    return Section("fidelity", "Fidelity to the teacher", joined([paragraph(_EXPLAINED), *parts])) if parts else None


_EXPLAINED = (
    "How many test images student and teacher put into the same class, whether right or wrong; the mean divergence of"
    " the student’s probabilities from the teacher’s; and how far their logits’ correlations between classes lie apart."
    " Tables: mean ± standard deviation over seeds after the last epoch that was measured."
)


def last(config: Configuration, name: str) -> str:
    """Mean and deviation of the last value over seeds; empty where there is none."""
    values = config.finals(name)
    if not values:
        return ""
    return f"{fmean(values):.4g}" + (f" ± {spread(values):.2g}" if len(values) > 1 else "")
