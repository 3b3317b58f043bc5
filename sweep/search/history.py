"""The words of a search's history: what it heard of its trials, and what it has won."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sweep.search.suggest import State


@dataclass(frozen=True)
class Chosen:
    """A configuration that a search has won."""

    number: int
    """Of the suggestion, counted from 0."""
    params: dict[str, Any]
    values: tuple[float, ...]


@dataclass(frozen=True)
class Moment:
    """Something that a search heard of one of its suggestions."""

    number: int
    """Of the suggestion, counted from 0."""
    epoch: int
    """That has ended, counted from 1; 0 where it is no epoch's end."""
    state: State
    """From then on."""
