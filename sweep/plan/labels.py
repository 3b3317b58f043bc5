"""How methods, hyperparameters and pairs are written for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SYMBOLS = {"alpha": "α", "gamma": "γ", "temperature": "T"}
"""How hyperparameters are written in labels."""
ARROW = "→"
"""Between the teacher and the student of a pair."""
TUNED = " tuned"
"""How the labels of what a search has won end."""


def teacher_of(pair: str) -> str:
    """The teacher in a pair: ``resnet20`` of ``resnet20→resnet8``, and of ``resnet20``, a teacher's own place."""
    return pair.partition(ARROW)[0]


def student_of(pair: str) -> str:
    """The student's name in a pair; empty in a teacher's own place."""
    return pair.partition(ARROW)[2]


def untuned(label: str) -> str:
    """The label of a search: that of what it has won, without its ending."""
    return label.removesuffix(TUNED)


def label(name: str, params: dict[str, Any]) -> str:
    """A name with hyperparameters as a person writes them: ``dhkd α=0.5 head=linear``."""
    return " ".join([name, *(f"{SYMBOLS.get(key, key)}={shown(value)}" for key, value in params.items())])


def meant(name: str, methods: Mapping[str, str]) -> list[str]:
    """The labels of the rows that a spec's `table` means: the row of that label, or else those of that method. The rows
    of a Pareto front, whose labels nobody knows before, are those of their search.

    Args:
        name: a label or a method.
        methods: of all rows, by label.
    """
    if name in methods:
        return [name]
    found = [label for label, method in methods.items() if method == name]
    return found or [label for label in methods if name.endswith(TUNED) and label.startswith(f"{name} ")]


def printed_name(label: str, names: Mapping[str, str], method: str) -> str:
    """What a row is called: by its label's printed name, or with its method's in the method's place. On a Pareto front,
    whose rows' labels nobody knows before, the name of their search stands in its place."""
    if label in names:
        return names[label]
    search = next((name for name in names if name.endswith(TUNED) and label.startswith(f"{name} ")), method)
    return names[search] + label.removeprefix(search) if search in names else label


def shown(value: Any) -> str:
    """A hyperparameter's value: whole floats without the point, true, false and null as YAML has them."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict) and set(value) == {"name", "params"}:  # a method inside a method
        return _shown_method(**value)
    if isinstance(value, dict):
        return _shown_options(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown_options(value: dict[str, Any]) -> str:
    """Options: ``(decay=0.99, predicts=true)``; one name with its options: ``adamw(betas=[0.9, 0.98], eps=1e-08)``."""
    name, options = next(iter(value.items())) if len(value) == 1 else ("", value)
    if not isinstance(options, dict):
        name, options = "", value
    return f"{name}({', '.join(f'{key}={shown(option)}' for key, option in options.items())})"


def _shown_method(name: str, params: dict[str, Any]) -> str:
    """A method with the hyperparameters that are not its defaults: ``gdkd(w2=4)``."""
    from trainers.distillers import METHODS

    defaults = METHODS[name].Params().model_dump(mode="json")
    other = [f"{key}={shown(value)}" for key, value in params.items() if value != defaults[key]]
    return f"{name}({', '.join(other)})" if other else name
