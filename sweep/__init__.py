"""Who runs what where, and what came of it: Ray Tune, MLflow and the command line.

Start at :mod:`sweep.plan` (spec to trials), :mod:`sweep.run` (trials to results) and :mod:`sweep.ledger` (the truth).
"""
