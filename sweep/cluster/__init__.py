"""Sweeps as jobs of a running Ray cluster.

Others use :class:`~sweep.cluster.jobs.Cluster` (submit, find, follow, cancel) and
:func:`~sweep.cluster.carried.carried` (the spec that a job was submitted with).
"""
