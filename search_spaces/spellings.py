"""How other tools write what is swept or searched, answered with how a spec writes it.

Mappings are W&B's (``{values: …}``, ``{min:, max:, distribution:}``), NNI's (``{_type:, _value:}``), Ax', Determined's,
Keras Tuner's and Katib's; texts are calls as hydra, Ray, Optuna, Hyperopt, Orion and Guild have them, and lists without
brackets. Nothing of a text is run: what cannot be told is answered with the form alone.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LONGEST = 300
"""Characters of a text that is looked at."""
LARGEST_EXPONENT = 100
MOST_LISTED = 12
"""Values that an answer writes out."""
VALUES = ("values", "vals", "grid", "gridsearch", "choices", "options", "categorical", "categories", "candidates")
ONE = ("value", "constant", "fixed")
LOW = ("min", "low", "lower", "minvalue", "minval", "lowerbound", "start")
HIGH = ("max", "high", "upper", "maxvalue", "maxval", "upperbound", "stop", "end")
BOUNDS = ("bounds", "interval", "limits")
STEP = ("q", "step", "stepsize")
CHOICES = ("choice", "choices", "categorical", "suggestcategorical", "grid", "gridsearch", "oneof")
RANGES: tuple[str, ...] = ("interval", "uniform", "loguniform", "float", "int", "real", "integer", "randint")
RANGES += ("lograndint", "quniform", "qloguniform", "qrandint", "intuniform", "uniformint", "loguniformvalues")
RANGES += ("suggestfloat", "suggestint", "suggestuniform", "suggestloguniform", "suggestdiscreteuniform")
EXCLUSIVE = ("randint", "lograndint")
"""Whose last value is below the end that is written, as of Python's ``range``."""
NORMAL = re.compile(r"q?(log)?(normal|randn)(values)?")
NO_NORMAL = "there is no normal distribution here; a search is written {range: [LOWEST, HIGHEST]} or {choice: [A, B]}"
_CALL = re.compile(r"(\w+)\s*[(\[]((?:[^()\[\]]|\[[^()\[\]]*\])*)(?:[)\]]|$)")
"""The innermost call of a text, with its arguments, which may be lists."""
_WORD = re.compile(r"[\w.+-]+")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


@dataclass(frozen=True)
class Meant:
    """What another tool would write so."""

    answer: str
    """How a spec writes it."""
    listed: str | None = None
    """Of several values, these in a list."""


def ours(value: Any) -> Meant | None:
    """What another tool would write so, as a spec writes it; None where that is not known."""
    if isinstance(value, Mapping):
        return _of_mapping({_plain(str(key)): item for key, item in value.items()})
    if isinstance(value, str) and len(value) <= LONGEST:
        return _of_text(value.strip())
    return None


def _of_mapping(given: dict[str, Any]) -> Meant | None:
    drawn = _plain(str(_first(given, ("distribution", "type", "sampling", "scale", "prior")) or ""))
    if NORMAL.fullmatch(drawn):
        return Meant(NO_NORMAL)
    inner, listed = given.get("value"), drawn in (*CHOICES, "")
    values = inner if isinstance(inner, list) and listed else _first(given, VALUES)
    if isinstance(values, list):
        return _several(values)
    bounds = inner if isinstance(inner, list) else _first(given, BOUNDS)
    ends = bounds[:2] if isinstance(bounds, list) else [_first(given, LOW), _first(given, HIGH)]
    if len(ends) == 2 and None not in ends:
        log = "log" in drawn or bool(given.get("log") or given.get("logscale"))
        low, high = _powers(ends, given) if log and bounds is None and _are_exponents(ends, drawn) else ends
        return _range(low, high, log, None if log else _first(given, STEP))
    for name, arguments in given.items():
        if len(given) == 1 and isinstance(arguments, list):
            return _called(name, [_written(one) for one in arguments], {})
    one = _first(given, ONE)
    return None if one is None or drawn else Meant(f"here one value is written {_written(one)}")


def _are_exponents(ends: list[Any], drawn: str) -> bool:
    """Whether a logarithmic range is told by exponents: W&B's `log_uniform` is, and what is not above 0 must be."""
    numbers = [end for end in ends if isinstance(end, int | float) and abs(end) < LARGEST_EXPONENT]
    return len(numbers) == 2 and (drawn == "loguniform" or numbers[0] <= 0)


def _powers(ends: list[Any], given: Mapping[str, Any]) -> list[float]:
    base = given.get("base")
    return [float(base if isinstance(base, int) and 1 < base <= 10 else math.e) ** end for end in ends]


def _of_text(text: str) -> Meant | None:
    call = _CALL.search(text)
    if call is None:
        parts = [part.strip() for part in text.split(",")]
        return _several(parts) if len(parts) > 1 and all(map(_WORD.fullmatch, parts)) else None
    arguments = [part.strip("[]'\" ") for part in re.split(r"[,:]", call[2])]
    named = dict(re.split(r"\s*=\s*", part, maxsplit=1) for part in arguments if "=" in part)
    return _called(_plain(call[1]), [part for part in arguments if part and "=" not in part], named, text.lower())


def _called(name: str, arguments: Sequence[str], named: Mapping[str, str], around: str = "") -> Meant | None:
    """What a call says, such as ``loguniform(0.1, 1)``, whose arguments are texts."""
    if NORMAL.fullmatch(name):
        return Meant(NO_NORMAL)
    if name in CHOICES:
        return _several([part for part in arguments if not (name.startswith("suggest") and part == arguments[0])])
    numbers = [part for part in arguments if _NUMBER.fullmatch(part)]
    if name == "range" and numbers:
        return _python_range([float(part) for part in numbers])
    if name not in RANGES:
        return None
    tagged = re.search(r"\btag\(\s*log", around) is not None
    log = tagged or "log" in name or named.get("log", "").lower() == "true"
    ends = [*numbers, *(named[key] for key in (*LOW, *HIGH) if key in named)]
    if len(ends) < 2:
        return _range("LOWEST", "HIGHEST", log, None)
    high: Any = ends[1]
    if name in EXCLUSIVE:
        high = float(high) - 1
    third = ends[2] if name.startswith(("q", "suggestdiscrete")) and len(ends) > 2 else None
    return _range(ends[0], high, log, None if log else named.get("step", third))


def _python_range(numbers: list[float]) -> Meant:
    """``range(stop)`` or ``range(start, stop, step)``, whose last value is before `stop`."""
    start, stop = (0.0, numbers[0]) if len(numbers) == 1 else numbers[:2]
    step = numbers[2] if len(numbers) > 2 and numbers[2] else 1.0
    count = max(0, math.ceil((stop - start) / step))
    if 0 < count <= MOST_LISTED:
        return _several([_number(start + place * step) for place in range(count)])
    return _range(_number(start), _number(stop - step), False, _number(step))


def _several(values: Sequence[Any]) -> Meant:
    written = [_written(value) for value in values[:MOST_LISTED]] + ["…"] * (len(values) > MOST_LISTED)
    listed = f"[{', '.join(written)}]"
    return Meant(f"here a grid is written {listed}, and a choice that is searched {{choice: {listed}}}", listed)


def _range(low: Any, high: Any, log: bool, step: Any) -> Meant:
    more = ", log: true" if log else "" if step is None else f", step: {_written(step)}"
    return Meant(f"here a search is written {{range: [{_written(low)}, {_written(high)}]{more}}}")


def _first(given: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((given[name] for name in names if given.get(name) is not None), None)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _number(value: float) -> str:
    return f"{value:.10g}"


def _written(value: Any) -> str:
    """A value as YAML has it in a list, cut where it is long."""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:39]}…"
