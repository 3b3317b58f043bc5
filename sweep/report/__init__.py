"""The report of a sweep: one figure of what it found, and a page with everything.

:mod:`sweep.report.page` says what stands on the page, in which order; each section is a module beside it.
"""

from sweep.report.figure import draw
from sweep.report.page import write

__all__ = ["draw", "write"]
