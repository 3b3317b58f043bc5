"""Settings of Ray's that its documentation leaves out or calls unstable. Nothing of Ray is imported here."""

from __future__ import annotations

TEMPORARY_FOLDER = "_temp_dir"
"""The argument of `ray.init` that says where Ray's sockets and logs lie; its docstring calls it hidden and unstable.
Without it they lie in ``/tmp/ray``, which all of a machine's users and sweeps share."""
OLD_OUTPUT = {"RAY_AIR_NEW_OUTPUT": "0"}
"""Environment: Ray Tune's older printer, which is silent at ``verbose=0``. The newer one prints its last tables even
then."""
NO_WORKERS_AHEAD = {"RAY_prestart_worker_first_driver": "0"}
"""Environment: a Ray that starts does not start a worker for each core ahead of the first driver. None of those would
have the environment that Ray Tune asks for, so all would be started in vain."""
NO_MEMORY_MONITOR = {"RAY_memory_monitor_refresh_ms": "0"}
"""Environment: Ray kills no worker because the machine's memory is short. Ray reads a limit of the outermost control
group alone, a container's; in a job of a shared machine it would watch what everybody uses there."""
NO_DRAINING = {"RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0"}
"""Environment: a node that is told to end does so at once. Ray would give its tasks 30 s, where none is left."""
