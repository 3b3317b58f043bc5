"""All that a sweep overrides, replaces or sets of Ray that is not Ray's public interface, as read in release 2.60.

Another release may rename any of it without a word, and most of it would then be passed over in silence: a method that
Ray calls no longer, a setting that nobody reads. So `pyproject.toml` keeps Ray below the next release, and
`tests/sweep/engine/test_ray_internals.py` names what a newer one lacks. What is here:

- :mod:`~sweep.engine.ray_internals.workers`: subclasses of two of Ray Tune's classes, put where its controller looks
  for the originals;
- :mod:`~sweep.engine.ray_internals.processes`: three methods of Ray's head, which start processes that no sweep uses,
  and two functions, by which two scripts take the place of Ray's: :mod:`~sweep.engine.ray_internals.node_agent` and
  :mod:`~sweep.engine.ray_internals.worker_start`;
- :mod:`~sweep.engine.ray_internals.trainer` and :mod:`~sweep.engine.ray_internals.groups`: Ray Train without one of
  its actors, and what does its work;
- :mod:`~sweep.engine.ray_internals.settings`: an argument of `ray.init` and two variables of the environment, which
  must be set before Ray is imported, so that this module imports nothing of it.

Elsewhere in the project stand only names that Ray documents. What it writes of a trial's failures, which is no name, is
read in :mod:`sweep.ledger.failures`.
"""

READ_IN = "2.60"
"""The release of Ray in which the names were read and tried."""
