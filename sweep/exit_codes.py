"""The exit codes of a run, and what others make of them."""

from __future__ import annotations

DONE, SOME_FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes."""
