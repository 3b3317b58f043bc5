"""From results to the table: rows are methods, columns are pairs, each cell a mean over seeds.

Everything is read from the ledger: the latest plan says which trials belong in the table, and final events what they
came to. Nothing that failed is left out silently: each row counts what is missing and why.
"""

from __future__ import annotations

import json
import statistics
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweep import formats
from sweep.formats import Format
from sweep.ledger import Ledger
from sweep.plan import Cell, Plan, Slot, label
from trainers.errors import InputError


@dataclass(frozen=True)
class Trial:
    """A planned trial and what the ledger knows of it."""

    slot: Slot
    key: str | None
    """None until it has been started."""
    state: str
    """finished, diverged, pruned, failed, running, interrupted or waiting."""
    body: dict[str, Any]
    """Of the event that gave the state."""
    epochs: int
    """Epochs recorded."""


@dataclass(frozen=True)
class Row:
    """One configuration under one pair: a row of the leaderboard."""

    recipe: str
    pair: str
    method: str
    label: str
    params: dict[str, Any]
    values: dict[int, float]
    """Shown accuracy by seed, in percent."""
    best: dict[int, float]
    """Test accuracy of the best epoch by seed."""
    last: dict[int, float]
    """Test accuracy of the last epoch by seed."""
    delta: float | None
    """Mean difference to the baseline over common seeds; None for the baseline and where there is none."""
    missing: dict[str, int]
    """Trials that gave no number, by state."""
    tuned: str = ""
    """How the hyperparameters were found, where a search found them: ``w2=3.2, the best of 20 (4 pruned)``."""

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def std(self) -> float | None:
        """Sample standard deviation over seeds; None for fewer than two."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None

    @property
    def shown(self) -> str:
        """``95.13 ± 0.67 (3)``."""
        if self.mean is None:
            return "–"
        spread = f" ± {self.std:.2f}" if self.std is not None else ""
        return f"{self.mean:.2f}{spread} ({len(self.values)})"

    @property
    def shown_delta(self) -> str:
        return "" if self.delta is None else f"{self.delta:+.2f}".replace("-", "−")


@dataclass(frozen=True)
class Leaderboard:
    """The table of one sweep."""

    plan: Plan
    cells: tuple[Row, ...]
    teachers: dict[str, float]
    """Test accuracy by architecture, in percent."""
    states: dict[str, int]
    """How many trials are in each state."""
    baseline: str | None
    """Label of the row that differences are taken against."""

    @property
    def pairs(self) -> list[str]:
        return list(dict.fromkeys(cell.pair for cell in self.cells))

    @property
    def rows(self) -> dict[tuple[str, str], dict[str, Row]]:
        """Cells by (recipe, label), then by pair."""
        table: dict[tuple[str, str], dict[str, Row]] = {}
        for cell in self.cells:
            table.setdefault((cell.recipe, cell.label), {})[cell.pair] = cell
        return table

    @property
    def metric(self) -> str:
        """Key of the number shown."""
        return "best" if self.plan.protocol == "paper" else "last"

    @property
    def _selection(self) -> str:
        """What was selected, by which data, and at what cost."""
        if not self.plan.cells:
            return "Every configuration of the spec is shown; none was selected."
        search = self.plan.cells[0].search
        if len(search["metrics"]) > 1:
            return (
                f"Tuned rows: of {search['trials']} configurations of each cell ({search['sampler']}, seed"
                f" {self.plan.seeds[0]}) the Pareto front by {_searched_by(search)}, at most {search['confirm']} of it,"
                " run again with all seeds."
            )
        return (
            f"Tuned rows: in each cell the best of {search['trials']} configurations ({search['sampler']}, seed"
            f" {self.plan.seeds[0]}) by {_searched_by(search)}, run again with all seeds; every other row is shown"
            " as the spec has it."
        )

    @property
    def findings(self) -> list[str]:
        """What each search has found, one line each, and which of it is worth its multiply-accumulates."""
        found = [f"{cell.label}, {cell.pair}: {cell.tuned}" for cell in self.cells if cell.tuned]
        front = self._front()
        if front:
            places = "; ".join(f"{row.label}, {row.pair} ({row.mean:.2f} % at {macs:,} MACs)" for row, macs in front)
            found.append(f"Pareto front over all cells, test accuracy against the student's MACs: {places}")
        return found

    def _front(self) -> list[tuple[Row, int]]:
        """Tuned rows that no other beats in accuracy and in the student's MACs, where searches ask for those."""
        macs = {cell.pair: cell.student_macs for cell in self.plan.cells if cell.student_macs}
        rows = [(row, macs[row.pair]) for row in self.cells if row.tuned and row.mean is not None and row.pair in macs]

        def beaten(row: Row, cost: int) -> bool:
            mean = row.mean or 0.0
            others = [(other.mean or 0.0, its) for other, its in rows]
            return any(m >= mean and c <= cost and (m > mean or c < cost) for m, c in others)

        return sorted((one for one in rows if not beaten(*one)), key=lambda one: one[1])

    @property
    def caption(self) -> str:
        """What is shown, what chose it, and what is missing."""
        shown = "best epoch on the test set, as the papers report it" if self.metric == "best" else "last epoch"
        parts = [f"Top-1 test accuracy in %, {shown}: mean ± standard deviation (number of seeds)."]
        if self.baseline:
            parts.append(f"Δ: mean difference to {self.baseline} over common seeds.")
        parts.append(self._selection)
        if self.teachers:
            parts.append("Teachers: " + ", ".join(f"{name} {acc:.2f}" for name, acc in self.teachers.items()) + ".")
        missing = [f"{count} {state}" for state, count in sorted(self.states.items()) if state != "finished"]
        parts.append(f"Trials: {self.states.get('finished', 0)} finished{''.join(', ' + text for text in missing)}.")
        return " ".join(parts)


def _searched_by(search: dict[str, Any]) -> str:
    """What a search chose by, in words."""
    names = {
        "val_acc": "validation accuracy after the last epoch",
        "test_acc": "best test accuracy, as protocol 'paper' allows",
        "student_macs": "the student's multiply-accumulates",
        "device_seconds": "the seconds of training",
    }
    return " and ".join(names[metric] for metric in search["metrics"])


def trials(ledger: Ledger) -> tuple[Plan, list[Trial]]:
    """The latest plan with the state of each of its slots.

    Raises:
        InputError: when the sweep has no plan yet.
    """
    planned = ledger.latest("plan")
    if planned is None:
        raise InputError(f"{ledger.path} holds no plan yet")
    plan = Plan.from_json(planned.body)
    keys: dict[str, str] = {}
    latest: dict[str, tuple[str, dict[str, Any]]] = {}
    states = {"start": "running", "failed": "failed", "interrupted": "interrupted", "pruned": "pruned"}
    for event in ledger.events("start", "failed", "interrupted", "pruned", "final"):
        key = event.trial or ""
        if event.kind == "start":
            keys[event.body["slot"]] = key
        if latest.get(key, ("", {}))[0] not in ("finished", "diverged"):
            latest[key] = (event.body["state"] if event.kind == "final" else states[event.kind], event.body)
    done = ledger.epochs_done()
    slots = [*plan.slots, *_searched_slots(plan, ledger)]
    return plan, [_trial(slot, keys.get(slot.id), latest, done) for slot in slots]


def _searched_slots(plan: Plan, ledger: Ledger) -> list[Slot]:
    """The slots that the plan's searches have added: what they tried, and what confirms what they have won."""
    cells = {cell.id for cell in plan.cells}
    asked = [event.body for event in ledger.events("ask") if event.body["cell"] in cells]
    won = {event.body["cell"]: event.body for event in ledger.events("chosen") if event.body["cell"] in cells}
    found = [body["slot"] for body in asked]
    found += [slot for cell in plan.cells if cell.id in won for slot in won[cell.id]["slots"]]  # in the plan's order
    return list({(slot["id"], slot["stage"]): Slot(**slot) for slot in found}.values())


def distinct(found: list[Trial]) -> list[Trial]:
    """Each trial once: scratch stands under every pair that shares its student, and a search's best is confirmed."""
    return list({trial.slot.id: trial for trial in found}.values())


def _trial(slot: Slot, key: str | None, latest: dict[str, tuple[str, dict[str, Any]]], done: dict[str, int]) -> Trial:
    state, body = latest.get(key or "", ("waiting", {}))
    return Trial(slot, key, state, body, done.get(key or "", 0))


def leaderboard(ledger: Ledger) -> Leaderboard:
    """The table as the ledger has it now."""
    plan, found = trials(ledger)
    groups: dict[tuple[str, str, str], list[Trial]] = {}
    for trial in found:
        if trial.slot.stage == "confirm":
            groups.setdefault((trial.slot.recipe, trial.slot.label, trial.slot.pair), []).append(trial)
    shown = "best" if plan.protocol == "paper" else "last"
    base = _baseline(plan)
    base = base if any(name == base for _, name, _ in groups) else None
    groups = {group: _best_of(members, plan.protocol) for group, members in groups.items()}
    values = {group: _by_seed(members, shown) for group, members in groups.items()}
    cells = [
        _cell(members, values[group], values.get((group[0], base or "", group[2]), {}), is_base=group[1] == base)
        for group, members in groups.items()
    ]
    cells = _with_findings(plan, cells, ledger)
    teachers = {trial.slot.pair: trial.body["last"]["test_acc"] for trial in found if _has_numbers(trial, "teacher")}
    return Leaderboard(plan, tuple(cells), teachers, dict(Counter(trial.state for trial in distinct(found))), base)


def _best_of(members: list[Trial], protocol: str) -> list[Trial]:
    """The trials of one configuration: where a search has confirmed several, of the one that its metric prefers."""
    by_params: dict[str, list[Trial]] = {}
    for trial in members:
        by_params.setdefault(json.dumps(trial.slot.varied, sort_keys=True), []).append(trial)

    def merit(some: list[Trial]) -> float:
        done = [trial.body for trial in some if trial.state == "finished"]
        found = [body["best"]["test_acc"] if protocol == "paper" else body["last"]["val_acc"] for body in done]
        return statistics.fmean(value for value in found) if found and None not in found else -1.0

    return max(by_params.values(), key=merit)


def _with_findings(plan: Plan, rows: list[Row], ledger: Ledger) -> list[Row]:
    """The rows, those of searches with what was found; a search that goes on has a row without a number."""
    won = {event.body["cell"]: event.body for event in ledger.events("chosen")}
    asked = Counter(event.body["cell"] for event in ledger.events("ask"))
    found: list[Row] = list(rows)
    for cell in plan.cells:
        here = (cell.recipe, cell.pair)
        places = [n for n, r in enumerate(rows) if (r.recipe, r.pair) == here and r.label.startswith(cell.label)]
        if cell.id in won and places:
            for place in places:
                found[place] = replace(found[place], tuned=_finding(cell, found[place], won[cell.id]))
            continue
        left = max(cell.budget - asked[cell.id], 0)
        missing = {"to try": left} if left else {"searching": 1} if cell.id not in won else {"nothing found": 1}
        found.append(Row(cell.recipe, cell.pair, cell.method, cell.label, cell.varied, {}, {}, {}, None, missing))
    return found


def _finding(cell: Cell, row: Row, won: dict[str, Any]) -> str:
    """``w2=3.2 k=5, the best of 20 (4 pruned)``."""
    values = {name: value for name, value in row.params.items() if name in cell.space}
    states = won["states"]
    if len(cell.search["metrics"]) > 1:
        reached = next(one["values"] for one in won["chosen"] if one["params"] == values)
        named = ", ".join(
            f"{metric} {value:.6g}" for metric, value in zip(cell.search["metrics"], reached, strict=True)
        )
        return f"{named}; on the Pareto front of {sum(states.values())}"
    other = ", ".join(f"{states[state]} {state}" for state in ("pruned", "failed") if states.get(state))
    return f"{label('', values).strip()}, the best of {sum(states.values())}" + (f" ({other})" if other else "")


def _baseline(plan: Plan) -> str | None:
    """The label of the first row of the baseline method; of a tuned one where there is no other."""
    fixed = [slot.label for slot in plan.students if slot.method == plan.baseline]
    tuned = [cell.label for cell in plan.cells if cell.method == plan.baseline]
    return next(iter([*fixed, *tuned]), None)


def _has_numbers(trial: Trial, stage: str) -> bool:
    return trial.slot.stage == stage and trial.state == "finished"


def _by_seed(members: list[Trial], which: str) -> dict[int, float]:
    return {trial.slot.seed: trial.body[which]["test_acc"] for trial in members if trial.state == "finished"}


def _cell(members: list[Trial], values: dict[int, float], base: dict[int, float], is_base: bool) -> Row:
    slot = members[0].slot
    common = values.keys() & base.keys()
    delta = statistics.fmean(values[seed] - base[seed] for seed in sorted(common)) if common and not is_base else None
    return Row(
        recipe=slot.recipe,
        pair=slot.pair,
        method=slot.method,
        label=slot.label,
        params=slot.varied,
        values=values,
        best=_by_seed(members, "best"),
        last=_by_seed(members, "last"),
        delta=delta,
        missing=dict(Counter(trial.state for trial in members if trial.state != "finished")),
    )


# -- formats ------------------------------------------------------------------------------------------------------


def grid(board: Leaderboard) -> tuple[list[str], list[list[str]]]:
    """Column names and rows of the printed table."""
    several = len({recipe for recipe, _ in board.rows}) > 1
    failed = any(cell.missing for cell in board.cells)
    columns = [*(["recipe"] if several else []), "method"]
    for pair in board.pairs:
        columns += [pair, *([f"Δ {board.baseline}"] if board.baseline else [])]
    columns += ["missing"] if failed else []
    lines = []
    for (recipe, name), cells in board.rows.items():
        line = [*([recipe] if several else []), name]
        for pair in board.pairs:
            cell = cells.get(pair)
            line += [cell.shown if cell else "", *([cell.shown_delta if cell else ""] if board.baseline else [])]
        missing = Counter[str]()
        for cell in cells.values():
            missing.update(cell.missing)
        line += [", ".join(f"{count} {state}" for state, count in sorted(missing.items()))] if failed else []
        lines.append(line)
    return columns, lines


def records(board: Leaderboard) -> list[dict[str, Any]]:
    """One flat record per cell, for JSON, CSV and MLflow's table."""
    return [
        {
            "pair": cell.pair,
            "label": cell.label,
            "n": len(cell.values),
            "mean": _rounded(cell.mean),
            "std": _rounded(cell.std),
            "delta": _rounded(cell.delta),
            "mean_best": _rounded(statistics.fmean(cell.best.values()) if cell.best else None),
            "mean_last": _rounded(statistics.fmean(cell.last.values()) if cell.last else None),
            "missing": sum(cell.missing.values()),
            "tuned": cell.tuned,
            "method": cell.method,
            **{f"param.{key}": cell.params.get(key) for key in _all_params(board)},
            "recipe": cell.recipe,
            "dataset": board.plan.dataset,
            "sweep": board.plan.name,
        }
        for cell in board.cells
    ]


def _all_params(board: Leaderboard) -> list[str]:
    return list(dict.fromkeys(key for cell in board.cells for key in cell.params))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def render(board: Leaderboard, how: Format) -> str:
    """The leaderboard as text (for `table`, see :func:`as_rich`)."""
    columns, lines = grid(board)
    if how in (Format.JSON, Format.CSV):
        return formats.listing(records(board), how)
    if how is Format.MARKDOWN:
        found = "".join(f"\n- {line}" for line in board.findings)
        return (
            formats.to_markdown(columns, lines, right=range(1, len(columns)))
            + f"\n{board.caption}\n"
            + (f"{found}\n" if found else "")
        )
    if how is Format.LATEX:
        return formats.to_latex(columns, lines, board.caption)
    return formats.to_table(columns, lines)


def as_rich(board: Leaderboard) -> RenderableType:
    """The leaderboard for a terminal."""
    columns, lines = grid(board)
    table = Table(title=f"{board.plan.name} on {board.plan.dataset}", box=box.SIMPLE_HEAD, title_justify="left")
    for column in columns:
        table.add_column(column, justify="left" if column in ("method", "recipe", "missing") else "right")
    for line in lines:
        table.add_row(*line)
    return Group(table, Text("\n".join([board.caption, *board.findings]), style="dim"))
