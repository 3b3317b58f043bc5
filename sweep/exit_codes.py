"""The exit codes of a run, and what others make of them."""

from __future__ import annotations

DONE, SOME_FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130
"""All is done; some trials failed, a report could not be written, the budget is used up or the cluster was lost; the
input is wrong, or the machine does not let the command go on; it was stopped."""
CAME_TO_ITS_END = (DONE, SOME_FAILED)
"""Of a run that was not broken off."""
STATES = {DONE: "done", SOME_FAILED: "incomplete", WRONG_INPUT: "refused", INTERRUPTED: "stopped"}
"""What a submitted sweep is called that has ended by itself; with any other code it is `failed`."""
RUN_STATUS = {DONE: "FINISHED", SOME_FAILED: "FINISHED", INTERRUPTED: "KILLED"}
"""MLflow's word for its run; with any other code it is FAILED."""
