"""The exit codes of a run, and what others make of them."""

from __future__ import annotations

DONE, SOME_FAILED, WRONG_INPUT, TIME_UP, INTERRUPTED = 0, 1, 2, 75, 130
"""All is done; some trials failed, a report could not be written, the budget is used up or the cluster was lost; the
input is wrong, or the machine does not let the command go on; its time is up, and
the same command goes on (``EX_TEMPFAIL`` of sysexits.h); it was stopped."""
CAME_TO_ITS_END = (DONE, SOME_FAILED)
"""Of a run that was not broken off."""
STATES = {
    DONE: "done",
    SOME_FAILED: "incomplete",
    WRONG_INPUT: "refused",
    TIME_UP: "out of time",
    INTERRUPTED: "stopped",
}
"""What a submitted sweep is called that has ended by itself; with any other code it is `failed`."""
RUN_STATUS = {DONE: "FINISHED", SOME_FAILED: "FINISHED", TIME_UP: "KILLED", INTERRUPTED: "KILLED"}
"""MLflow's word for its run; with any other code it is FAILED."""
