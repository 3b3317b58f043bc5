"""The page: one HTML file that opens anywhere, without a network and without scripts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from sweep.ledger.store import Ledger
from sweep.report import curves, effort, failures, fidelity, gains, gradients, searches, sensitivity, style, summary
from sweep.report.history import History, read
from sweep.report.markup import Markup, element, joined, paragraph
from sweep.report.section import Section
from sweep.report.style import Picture, Studio
from trainers.errors import StorageError
from trainers.storage.files import write_atomically

KINDS: tuple[Literal["png", "pdf"], ...] = ("png", "pdf")
"""Of the files beside the page, for print."""


def write(ledger: Ledger, output: Path, figures: Path | None = None) -> None:
    """Write the report of a sweep as its ledger has it now.

    Args:
        ledger: the sweep's.
        output: where the page goes.
        figures: the folder that its figures go into as PNG and PDF, which takes longer than the page; PNG and PDF files
            of an earlier report are removed there. None for the page alone.

    Raises:
        InputError: where the sweep has no plan yet.
        StorageError: when a file cannot be written.
    """
    text, pictures = page(read(ledger))
    write_atomically(output, text.encode())
    if figures is not None:
        _write_figures(figures, pictures)


def page(history: History) -> tuple[str, list[Picture]]:
    """The whole text, and its pictures; equal for equal histories."""
    studio = Studio()
    with style.drawing():
        found = [
            summary.leaderboard(history),
            sensitivity.section(history, studio),
            gains.section(history, studio),
            curves.section(history, studio),
            searches.section(history, studio),
            fidelity.section(history, studio),
            gradients.section(history, studio),
            effort.section(history),
            failures.section(history),
            summary.plan(history),
        ]
    return _document(history, [section for section in found if section is not None]), studio.pictures


def _write_figures(folder: Path, pictures: Sequence[Picture]) -> None:
    wanted = set()
    with style.drawing():
        for picture, kind in itertools.product(pictures, KINDS):
            write_atomically(folder / f"{picture.name}.{kind}", picture.printed(kind))
            wanted.add(f"{picture.name}.{kind}")
    stale = [file for kind in KINDS for file in folder.glob(f"*.{kind}") if file.name not in wanted]
    for file in stale:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot remove {file}: {error.strerror or error}") from error


# -- the document -----------------------------------------------------------------------------------------------------


def _document(history: History, sections: Sequence[Section]) -> str:
    plan = history.plan
    links = [element("li", element("a", section.title, href=f"#{section.anchor}")) for section in sections]
    head = element(
        "header",
        element("h1", plan.name),
        *([paragraph(plan.description)] if plan.description else []),
        element("p", _standing(history), class_="standing"),
        element("nav", element("ol", *links), aria_label="Contents"),
    )
    main = element("main", *(section.markup for section in sections))
    top = joined(
        [
            element("meta", charset="utf-8"),
            element("meta", name="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name="color-scheme", content="light dark"),
            element("title", f"{plan.name} – sweep report"),
            element("style", Markup(STYLE)),
        ]
    )
    whole = element("html", element("head", top), element("body", head, main), lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"


def _standing(history: History) -> str:
    """How far the sweep is."""
    states = Counter(trial.state for trial in history.trials)
    counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return f"{history.plan.dataset}: {len(history.trials)} trials: {counts}."


STYLE = f"""
:root {{
  --ink: {style.INK}; --quiet: #59636e; --paper: #fdfdfe; --sheet: #fff; --faint: {style.FAINT}; --link: #0061a8;
  {style.variables(night=False)}
}}
@media (prefers-color-scheme: dark) {{
  :root {{
    --ink: #e4e7ea; --quiet: #9aa4af; --paper: #14171a; --sheet: #1a1e22; --faint: #363d45; --link: #78b8e8;
    {style.variables(night=True)}
  }}
}}
* {{ box-sizing: border-box; }}
html {{ scroll-behavior: smooth; }}
body {{
  margin: 0 auto; max-width: 74rem; padding: 1.5rem clamp(.9rem, 3vw, 2.5rem) 5rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
  overflow-wrap: break-word;
}}
h1 {{ font-size: 1.9rem; line-height: 1.2; margin: .5rem 0; }}
h2 {{ font-size: 1.35rem; margin: 3rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--faint); }}
h3 {{ font-size: 1.05rem; margin: 1.75rem 0 .5rem; }}
h4 {{ font-size: 1rem; font-weight: 600; color: var(--quiet); margin: 1.25rem 0 .5rem; }}
p, li, dd {{ max-width: 46rem; }}
a {{ color: var(--link); }}
.anchor {{ color: var(--quiet); text-decoration: none; font-weight: 400; opacity: 0; }}
h2:hover .anchor, .anchor:focus {{ opacity: 1; }}
.standing, .caption, figcaption, summary {{ color: var(--quiet); font-size: .9rem; }}
nav ol {{ display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; list-style: none; padding: .7rem 0; margin: 0; }}
.scroll {{ overflow-x: auto; border: 1px solid var(--faint); border-radius: 6px; background: var(--sheet); }}
table {{ border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; width: 100%; }}
th, td {{ padding: .4rem .75rem; text-align: left; vertical-align: top; }}
thead th {{ vertical-align: bottom; min-width: 5.5rem; }}
thead tr + tr > * {{ padding-top: 0; font-weight: 500; color: var(--quiet); }}
tbody {{ border-top: 2px solid var(--faint); }}
tbody tr + tr > * {{ border-top: 1px solid var(--faint); }}
tbody th {{ font-weight: 500; white-space: nowrap; }}
.number {{ text-align: right; white-space: nowrap; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.25rem; font-size: .95rem; }}
dt {{ color: var(--quiet); }}
dd {{ margin: 0; min-width: 0; }}
pre {{ overflow-x: auto; padding: .9rem; font-size: .85rem; background: var(--sheet); border: 1px solid var(--faint); }}
.gallery {{ display: flex; flex-wrap: wrap; gap: 1rem 1.5rem; align-items: flex-start; margin: 1rem 0; }}
figure {{ margin: 0; max-width: 100%; }}
figcaption {{ max-width: 30rem; }}
svg.drawn {{ display: block; width: 100%; height: auto; }}
svg.drawn * {{ stroke-linejoin: round; stroke-linecap: butt; }}
summary {{ cursor: pointer; }}
@media (max-width: 36rem) {{
  dl {{ grid-template-columns: 1fr; gap: 0; }}
  dd {{ margin-bottom: .5rem; }}
}}
@media print {{
  body {{ max-width: none; padding: 0; }}
  nav, .anchor {{ display: none; }}
  figure, tr {{ break-inside: avoid; }}
}}
"""
