"""The ledger projected into MLflow, and read back.

Others use :class:`~sweep.tracking.projector.Projector` (while a sweep runs), :mod:`~sweep.tracking.sync` (what is still
to be delivered), :func:`~sweep.tracking.read_back.read` (the results off a server) and :mod:`~sweep.tracking.address`
(where runs are tracked).
"""
