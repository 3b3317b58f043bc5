"""Runs a plan, on Ray or in this process: what next, on which worker, and what came of it.

Others use :func:`~sweep.engine.tuning.tune` (a queue, to its end, on Ray), :func:`~sweep.engine.local.train_here`
(here), :class:`~sweep.engine.running.Run` (what both take), :class:`~sweep.engine.queue.TrialQueue`,
:func:`~sweep.engine.session.session` (Ray itself) and :class:`~sweep.engine.display.Display` (what the user sees).
"""
