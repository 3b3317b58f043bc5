"""What a reviewer asks for: the effective recipe, every hyperparameter, networks, images, teachers, dates and versions.

All of it is read off the plan and the ledger; nothing is computed here. On a screen each part opens when it is clicked,
in print all are open.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from search_spaces.cuts import CUT_BY
from sweep.plan.labels import shown, student_of, teacher_of
from sweep.report import origin
from sweep.report.history import Configuration, History
from sweep.report.markup import Markup, element, facts, folded, joined, paragraph, table
from sweep.report.section import Section
from sweep.results.read import Trial
from sweep.text import counted

NAMED = 6
"""Rows that are named where a field differs; of more it is told how many."""
LISTED = 1000
"""Rows whose hyperparameters are listed, at most."""


def section(history: History) -> Section:
    """All parts, folded."""
    parts = {
        "Effective recipe": recipe(history),
        "Hyperparameters of each row": hyperparameters(history),
        "Networks": networks(history),
        "Images": images(history),
        "Teachers": teachers(history),
        "Dates and versions": versions(history),
    }
    folds = [folded(title, content) for title, content in parts.items() if content]
    return Section("appendix", "Appendix", element("div", *folds, class_="appendix"))


# -- recipe and hyperparameters ---------------------------------------------------------------------------------------


def recipe(history: History) -> Markup:
    """Every field with its value; one that differs between rows says which rows, or which pairs, have which."""
    rows = _configured(history)
    if not rows:
        return Markup()
    taught: dict[str, Any] = next((slot.config["recipe"] for slot in history.plan.teachers), {})  # one for all
    names = dict.fromkeys(name for config in rows for name in config.row.config["recipe"])
    lines = [[name, _by_rows(rows, name), *([written(taught.get(name))] if taught else [])] for name in names]
    return table(("field", "students", *(["teachers trained here"] if taught else [])), lines)


def _by_rows(rows: Sequence[Configuration], field: str) -> str:
    """One value, or each with those who have it: rows where these decide, else pairs, else both."""
    values = {(config.name, config.pair): written(config.row.config["recipe"].get(field)) for config in rows}
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    by_name, by_pair = ({(place[side], value) for place, value in values.items()} for side in (0, 1))
    side = 0 if len(by_name) == len(dict(by_name)) else 1 if len(by_pair) == len(dict(by_pair)) else None
    having: dict[str, dict[str, None]] = {}
    for place, value in values.items():
        having.setdefault(value, {})[", ".join(place) if side is None else place[side]] = None
    return "; ".join(f"{value}: {_some(list(names))}" for value, names in having.items())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def hyperparameters(history: History) -> Markup:
    """Each row's in full; a row that has the same under all pairs once."""
    by_name: dict[str, dict[str, list[str]]] = {}
    for config in _configured(history):
        params = _listed(config.row.config["method"]["params"])
        by_name.setdefault(config.name, {}).setdefault(params, []).append(config.pair)
    lines = [
        [name if len(found) == 1 else f"{name}, {', '.join(pairs)}", params or "none"]
        for name, found in by_name.items()
        for params, pairs in found.items()
    ]
    if not lines:
        return Markup()
    more = paragraph(f"The first {LISTED:,} of {len(lines):,} are listed.") if len(lines) > LISTED else Markup()
    return joined([more, table(("row", "hyperparameters"), lines[:LISTED])])


def written(value: Any) -> str:
    """A value as a spec has it, that of a method inside a method in full."""
    if isinstance(value, dict) and value.get("params"):
        return f"{value['name']}({_listed(value['params'])})"
    if isinstance(value, dict):
        return str(value.get("name", value))
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(written, value))}]"
    return shown(value)


def _listed(params: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={written(value)}" for name, value in params.items())


def _configured(history: History) -> list[Configuration]:
    return [config for config in history.configurations if config.row.config]


# -- networks and images ----------------------------------------------------------------------------------------------


def networks(history: History) -> Markup:
    """Parameters and multiply-accumulates, as they were counted when the sweep was planned, and the latencies of
    students, as far as they were measured by then."""
    known, taken = history.plan.networks, history.plan.latencies
    if not known:
        return Markup()
    students = {config.row.config["model"] for config in _configured(history)}
    students |= {student_of(pair) for pair in history.pairs}
    taught = {_architecture(teacher_of(pair)) for pair in history.pairs}
    lines = [
        [
            name,
            ", ".join(role for role, those in (("teacher", taught), ("student", students)) if name in those),
            f"{size['parameters']:,}",
            f"{size['macs']:,}",
            *(_milliseconds(taken.get(name, ())) if taken else ()),
        ]
        for name, size in known.items()
    ]
    read = history.plan.images
    pixels = f"one image of {read['size'][0]} × {read['size'][1]} pixels" if read else "one image"
    caption = f"MACs: multiply-accumulates of convolutions and linear layers in a forward pass of {pixels}."
    columns = ("network", "role", "parameters", "MACs", *(("ms, 1 image", "ms, 64 images") if taken else ()))
    return table(columns, lines, right=range(2, len(columns)), caption=caption + _how_timed(taken))


def _milliseconds(latencies: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of a student by the number of images; empty of what was not timed."""
    by_batch = {latency["batch"]: f"{latency['milliseconds']:.3g}" for latency in latencies}
    return [by_batch.get(1, ""), by_batch.get(64, "")]


def _how_timed(latencies: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What the times are, in a sentence; empty where there are none."""
    one = next((some[0] for some in latencies.values()), None)
    if one is None:
        return ""
    where = "GPU" if one["device"] == "cuda" else f"CPU with {counted(one['threads'], 'thread')}"
    return f" ms: median time of a forward pass on the {where} of the machine that ran the sweep, in float32."


def _architecture(teacher: str) -> str:
    """Of a teacher by its name in a pair, where a stored one bears its hash."""
    return teacher.partition("@")[0]


def images(history: History) -> Markup:
    """How many are trained on, held out and tested on; by recipe where recipes cut the data set differently."""
    parts = history.plan.parts
    if not parts:
        return Markup()
    differing = [name for name in CUT_BY if any(part.get(name) != parts[0].get(name) for part in parts)]
    unlabelled = any(_labelled(part) < part["train"] for part in parts)
    counts = COUNTS | (LABELLED if unlabelled else {})
    lines = [
        [
            ", ".join(f"{name}={written(part.get(name))}" for name in differing) or history.plan.dataset,
            *(f"{({'labelled': _labelled(part)} | part)[count]:,}" for count in counts),
        ]
        for part in parts
    ]
    right = tuple(range(1, 1 + len(counts)))
    return table(("part" if differing else "data set", *counts.values()), lines, right=right)


COUNTS = {"train": "train", "held_out": "held out", "test": "test"}
"""Of a plan's parts, with the words for a column."""
LABELLED = {"labelled": "train with a label"}
"""The same, where not all have one."""


def _labelled(part: dict[str, Any]) -> int:
    """Of an earlier release's part all are."""
    return int(part.get("labelled", part["train"]))


# -- teachers, dates, versions ----------------------------------------------------------------------------------------


def teachers(history: History) -> Markup:
    """Each teacher with the hash of its weights and its accuracy."""
    trained = {trial.slot.pair: trial for trial in history.trials if trial.slot.stage == "teacher"}
    stored = _stored(config.row.config for config in _configured(history))
    lines = []
    for name in dict.fromkeys(map(teacher_of, history.pairs)):
        trial = trained.get(name)
        known = _hash(trial) if trial else stored.get(name, "")
        accuracy = history.board.teachers.get(name)
        came_from = f"trained here, {trial.slot.epochs} epochs, seed {trial.slot.seed}" if trial else "stored before"
        told = "" if accuracy is None else f"{accuracy:.2f}"
        lines.append([name, element("code", known) if known else "not known yet", came_from, told])
    return table(("teacher", "hash of its weights", "where from", "test accuracy, %"), lines, right=(3,))


def _stored(configs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Hashes of the teachers that were there before, by their names in pairs."""
    taught = [config["teacher"] for config in configs if config.get("teacher")]
    return {f"{teacher['architecture']}@{teacher['hash'][:8]}": str(teacher["hash"]) for teacher in taught}


def _hash(trial: Trial) -> str:
    return str((trial.body.get("teacher") or {}).get("hash", ""))


def versions(history: History) -> Markup:
    """When it ran, with which releases, from which commits and on which machines."""
    told = []
    if history.dates:
        first, last = (datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M UTC") for time in history.dates)
        told += [("first trial began", first), ("last trial ended", last)]
    made = Counter(_listed_releases(trial) for trial in history.trials if trial.body.get("made_with"))
    told += [("trained with", f"{releases} ({count} trials)") for releases, count in made.most_common()]
    return joined([part for part in (facts(told) if told else Markup(), origin.part(history)) if part])


def _listed_releases(trial: Trial) -> str:
    return ", ".join(f"{name} {release}" for name, release in trial.body["made_with"].items() if release)
