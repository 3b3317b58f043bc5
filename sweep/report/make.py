"""Table, figure and page of a sweep, made together and noted in the ledger."""

from __future__ import annotations

from typing import Any

from sweep import report
from sweep.formats import Format
from sweep.layout import SweepPaths
from sweep.ledger.store import Ledger
from sweep.results import draw, records
from sweep.results.board import leaderboard
from trainers.storage.content import file_sha256
from trainers.storage.files import write_atomically


def make_reports(paths: SweepPaths, ledger: Ledger, *, with_page: bool = True) -> None:
    """Table, figure and page from the ledger, as files and as an event for MLflow; the page takes the longest."""
    board = leaderboard(ledger)
    markdown = draw.render(board, Format.MARKDOWN)
    write_atomically(paths.leaderboard, markdown.encode())
    drawn = report.draw(board, paths.figure)
    body: dict[str, Any] = {"markdown": markdown, "records": records.records(board)}
    body["figure"] = paths.figure.name if drawn else None
    if with_page:
        report.write(ledger, paths.report)
        body["page"] = {"file": paths.report.name, "sha256": file_sha256(paths.report)}
    latest = ledger.latest("report")
    if latest is None or latest.body != body:
        ledger.append("report", body=body)
