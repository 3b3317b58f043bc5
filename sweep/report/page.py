"""The page: one HTML file that opens anywhere, without a network and without scripts."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import resources
from pathlib import Path
from typing import Literal

from sweep.ledger.store import Ledger
from sweep.report import (
    appendix,
    colors,
    curves,
    effort,
    failures,
    fidelity,
    gains,
    gradients,
    searches,
    sensitivity,
    style,
    summary,
)
from sweep.report.history import History, read
from sweep.report.markup import Markup, element, joined, paragraph
from sweep.report.outputs import Outputs
from sweep.report.section import Section
from sweep.report.style import Picture, Studio
from sweep.results.headline import headline
from sweep.text import counted
from trainers.errors import StorageError
from trainers.storage.files import write_atomically

KINDS: tuple[Literal["png", "pdf"], ...] = ("png", "pdf")
"""Of the files beside the page, for print."""


def _unheard(what: str) -> None:
    """Where nobody asks what is being done."""


def write(ledger: Ledger, output: Path, figures: Path | None = None, say: Callable[[str], None] = _unheard) -> None:
    """Write the report of a sweep as its ledger has it now.

    Args:
        ledger: the sweep's.
        output: where the page goes.
        figures: the folder that its figures go into as PNG and PDF, which takes longer than the page; PNG and PDF files
            of an earlier report are removed there. None for the page alone.
        say: is told what is being done, in a few words.

    Raises:
        InputError: where the sweep has no plan yet.
        StorageError: when a file cannot be written, naming each; all others are written.
    """
    text, pictures = page(read(ledger), say, prints=figures is not None)
    outputs = Outputs()
    with outputs.one(output):
        write_atomically(output, text.encode())
    if figures is not None:
        _write_figures(figures, pictures, outputs, say)
    outputs.check()


def page(history: History, say: Callable[[str], None] = _unheard, *, prints: bool = True) -> tuple[str, list[Picture]]:
    """The whole text, and its pictures, which can be printed if that is asked for; equal for equal histories."""
    studio = Studio(say, prints=prints)
    with style.drawing():
        sections = [
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
            appendix.section(history),
        ]
    return _document(history, [section for section in sections if section is not None]), studio.pictures


def _write_figures(
    folder: Path, pictures: Sequence[Picture], outputs: Outputs, say: Callable[[str], None] = _unheard
) -> None:
    wanted = set()
    with style.drawing():
        for place, (picture, kind) in enumerate(itertools.product(pictures, KINDS), start=1):
            say(f"writing figure {place} of {len(KINDS) * len(pictures)} for print")
            path = folder / f"{picture.name}.{kind}"
            with outputs.one(path):
                write_atomically(path, picture.printed(kind))
            wanted.add(path.name)
    for file in [file for kind in KINDS for file in folder.glob(f"*.{kind}")]:
        if file.name not in wanted and file.is_file():
            with outputs.one(file):
                _remove(file)


def _remove(file: Path) -> None:
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
        element("p", headline(history.board), class_="lead"),
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
            element("style", Markup(_css())),
        ]
    )
    whole = element("html", element("head", top), element("body", head, main), lang="en")
    return f"<!DOCTYPE html>\n{whole}\n"


def _css() -> str:
    """The palette's variables, and ``page.css``, which is written in them."""
    rules = resources.files("sweep.report").joinpath("page.css").read_text(encoding="utf-8")
    return f"\n{colors.palette()}{rules}"


def _standing(history: History) -> str:
    """How far the sweep is."""
    states = Counter(trial.state for trial in history.trials)
    counts = ", ".join(f"{count} {state}" for state, count in states.most_common())
    return f"{history.plan.dataset}, {counted(len(history.trials), 'trial')}: {counts}."
