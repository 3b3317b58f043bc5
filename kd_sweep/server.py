"""MLflow's server behind :mod:`sweep.tracking.guard`, under a name that no folder hides from Python and uvicorn.

``python -m kd_sweep.server server …`` is ``mlflow server …``.
"""

from sweep.tracking.guard import guarded, main

__all__ = ["guarded", "main"]

if __name__ == "__main__":
    main()
