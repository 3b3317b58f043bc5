"""How one model is trained: torch alone, no scheduler, no tracker, no command line.

Start at :mod:`trainers.fit` (the one training loop) and :mod:`trainers.config` (what a trial is).
"""
