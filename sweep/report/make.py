"""Table, figure and page of a sweep, made together and noted in the ledger."""

from __future__ import annotations

from typing import Any

from sweep import report
from sweep.formats import Format
from sweep.layout import SweepPaths
from sweep.ledger.store import Ledger
from sweep.report.outputs import Outputs
from sweep.results import draw, records
from sweep.results.board import leaderboard
from sweep.results.headline import headline
from trainers.storage.content import file_sha256
from trainers.storage.files import write_atomically


def make_reports(paths: SweepPaths, ledger: Ledger, *, with_page: bool = True) -> list[str]:
    """Table, figure and page from the ledger, as files and as an event for MLflow; the page takes the longest.

    Returns:
        A line for each file that could not be written; the others are, and the event names what is missing under
        `unwritten`.
    """
    board, outputs, drawn = leaderboard(ledger), Outputs(), False
    markdown = draw.render(board, Format.MARKDOWN)
    body: dict[str, Any] = {"headline": headline(board), "markdown": markdown, "records": records.records(board)}
    with outputs.one(paths.leaderboard):
        write_atomically(paths.leaderboard, markdown.encode())
    with outputs.one(paths.figure):
        drawn = report.draw(board, paths.figure)
    body["figure"] = paths.figure.name if drawn else None
    if with_page:
        with outputs.one(paths.report):
            report.write(ledger, paths.report)
            body["page"] = {"file": paths.report.name, "sha256": file_sha256(paths.report)}
    if outputs.failures:
        body["unwritten"] = list(outputs.failures)
    latest = ledger.latest("report")
    if latest is None or latest.body != body:
        ledger.append("report", body=body)
    return outputs.told
