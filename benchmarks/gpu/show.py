"""Findings as tables in Markdown, one for each run of the script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.gpu.findings import Finding

BEGUN = "a run"
"""The stage of the finding with which a run begins."""
SHOWN_APART = ("stage", "what", "value", "quartiles", "goal", "met", "error", "ended", "printed")
HEAD = "| stage | what | found | quartiles | goal | met | beside |\n|---|---|---:|---:|---|---|---|"
MET = {True: "yes", False: "**no**", None: ""}


def tables(findings: Sequence[Finding]) -> str:
    """A table for each run, with a sentence above it."""
    return "\n\n".join("\n".join([*_title(run), HEAD, *map(row, latest(run))]) for run in runs(findings))


def runs(findings: Sequence[Finding]) -> list[list[Finding]]:
    """The findings of each run, that with which it begins first."""
    found: list[list[Finding]] = []
    for finding in findings:
        if finding["stage"] == BEGUN or not found:
            found.append([])
        found[-1].append(finding)
    return found


def latest(run: Sequence[Finding]) -> list[Finding]:
    """A run's findings, of each figure what its last round left, in the order of the first."""
    kept: dict[tuple[str, str], Finding] = {}
    for finding in run:
        if finding["stage"] != BEGUN:
            kept[finding["stage"], finding.get("what", "")] = finding
    return list(kept.values())


def row(finding: Finding) -> str:
    """One finding's line of a table."""
    cells = [
        finding["stage"],
        finding.get("what", finding.get("ended", "")),
        number(finding["value"]) if "value" in finding else "",
        " … ".join(map(number, finding.get("quartiles", []))),
        finding.get("goal", ""),
        MET[finding.get("met")],
        "; ".join(_beside(finding)),
    ]
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _title(run: Sequence[Finding]) -> list[str]:
    """What a run was, and on what."""
    told = [one for one in run if one["stage"] == BEGUN] + [one for one in run if one.get("what") == "machine"]
    words = [f"{name} {shown(value)}" for one in told for name, value in one.items() if name not in ("stage", "what")]
    quick = any(one.get("quick") is True for one in told)
    return [", ".join(words) + ("; **quick: its figures mean nothing**" if quick else "") + "\n"] if words else []


def _beside(finding: Finding) -> Iterator[str]:
    if "error" in finding:
        yield f"**{finding['error']}**"
    yield from (f"{name} {shown(value)}" for name, value in finding.items() if name not in SHOWN_APART)


def shown(value: Any) -> str:
    """A value as a reader wants it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list):
        return " ".join(map(shown, value)) or "none"
    if isinstance(value, dict):
        return " ".join(f"{name}={shown(one)}" for name, one in value.items()) or "none"
    return str(value)


def number(value: float | str) -> str:
    """Three significant digits; whole numbers whole, with their thousands apart."""
    if isinstance(value, str):
        return value
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
