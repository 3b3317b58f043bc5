"""Trials of a plan that have a result with other values: what is another, and how many run again because of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

from pydantic import ValidationError

from sweep.ledger.store import Ledger
from sweep.plan.slots import Plan
from sweep.text import shortened
from trainers.config import TrialConfig, content_of_another_release

MOST_CHANGES = 3
"""That are named."""
OTHER_TEACHER = "a teacher that is another, or no longer stored"


def outgrown(plan: Plan, over: Collection[str], ledger: Ledger) -> str:
    """A remark on the trials that will run though one of the same name has ended; empty where there are none.

    Args:
        plan: what is about to run.
        over: ids of its slots that have ended.
        ledger: with what has ended before.
    """
    left = {slot.name: slot for slot in plan.slots if slot.id not in over}
    ended = ledger.finals() if left else {}
    before = {event.body["name"]: event.body["config"] for event in ledger.events("start") if event.trial in ended}
    again = [(slot, before[name]) for name, slot in left.items() if name in before]
    if not again:
        return ""
    changes = Counter(change for slot, config in again for change in _changes(config, slot.config))
    named = [
        f"{change} of {count}" if count < len(again) else change for change, count in changes.most_common(MOST_CHANGES)
    ]
    more = ["…"] if len(changes) > MOST_CHANGES else []
    return (
        f"trials that have ended before with other values, and run again: {len(again)} ({', '.join([*named, *more])});"
        " their results stay in the ledger, and count again where the values do"
    )


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What differs between two configs, as ``recipe.epochs 3 → 4``; where nothing does, the teacher is another."""
    was, is_now = dict(_fields(_content(before))), dict(_fields(_content(now)))
    names = [name for name in {**was, **is_now} if was.get(name) != is_now.get(name)]
    return [f"{name} {_shown(was, name)} → {_shown(is_now, name)}" for name in names] or [OTHER_TEACHER]


def _content(config: dict[str, Any]) -> dict[str, Any]:
    """What of a config is in its key, without the teacher; all, where another release has written it."""
    try:
        content = TrialConfig.model_validate(config).key_content()
    except ValidationError:
        content = content_of_another_release(config)
    return {name: value for name, value in content.items() if name != "teacher"}


def _fields(content: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        where = f"{path}.{name}" if path else name
        if isinstance(value, dict) and value:
            yield from _fields(value, where)
        else:
            yield where, value


def _shown(content: dict[str, Any], name: str) -> str:
    return shortened(str(content[name])) if name in content else "nothing"
