"""The small world of :mod:`tests.support.sweeps`."""

from __future__ import annotations

from tests.support.sweeps import contained, empty_store, ledger, new_store, opened_store, paths, root, small_plan

__all__ = ["contained", "empty_store", "ledger", "new_store", "opened_store", "paths", "root", "small_plan"]
