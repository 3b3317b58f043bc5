"""Sweeps from Python, a notebook above all: ``import sweep`` offers :func:`load` and :func:`open` of these modules.

What the verbs do stands here as functions and objects: :func:`sweep.python.sweeps.load` gives a
:class:`~sweep.python.sweeps.Sweep`, which plans and runs; :func:`sweep.python.results.open` the
:class:`~sweep.python.results.Results` of one that has run, or runs. ``docs/python.md`` is the guide.
"""
