"""Requests that are tried again are so at once."""

from __future__ import annotations

import pytest

from sweep.tracking import patience


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0.0)
