"""Who runs what where, and what came of it: Ray Tune, MLflow and the command line.

:mod:`sweep.run` is the only module that knows all packages, and reads like a table of contents. They stand here in the
order in which they import each other, each only what stands before it: :mod:`~sweep.cluster`, :mod:`~sweep.plan`,
:mod:`~sweep.ledger`, :mod:`~sweep.cost`, :mod:`~sweep.search`, :mod:`~sweep.engine`, :mod:`~sweep.results`,
:mod:`~sweep.report`, :mod:`~sweep.tracking`, :mod:`~sweep.run`, :mod:`~sweep.cli`.
"""

from kd_sweep import find_ours_first

find_ours_first()
