"""Who runs what where, and what came of it: Ray Tune, MLflow and the command line.

From Python: :func:`load` a spec, plan and run it; :func:`open` what came of a sweep (``docs/python.md``). Importing
this package imports nothing heavy; the two are there when they are first asked for.

:mod:`sweep.run` is the only module that knows all packages, and reads like a table of contents. They stand here in the
order in which they import each other, each only what stands before it: :mod:`~sweep.cluster`, :mod:`~sweep.plan`,
:mod:`~sweep.ledger`, :mod:`~sweep.cost`, :mod:`~sweep.search`, :mod:`~sweep.engine`, :mod:`~sweep.results`,
:mod:`~sweep.report`, :mod:`~sweep.tracking`, :mod:`~sweep.students`, :mod:`~sweep.packs`, :mod:`~sweep.run`,
:mod:`~sweep.python` and :mod:`~sweep.cli`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kd_sweep import find_ours_first

if TYPE_CHECKING:
    from sweep.python.results import open
    from sweep.python.sweeps import load

__all__ = ["load", "open"]

find_ours_first()


def __getattr__(name: str) -> Any:
    """:func:`load` and :func:`open`, which import what they need."""
    if name == "load":
        from sweep.python.sweeps import load

        return load
    if name == "open":
        from sweep.python.results import open

        return open
    raise AttributeError(f"module 'sweep' has no attribute '{name}'")


def __dir__() -> list[str]:
    """What is public."""
    return [*globals(), *__all__]
