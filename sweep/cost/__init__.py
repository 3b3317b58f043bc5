"""How long an epoch takes here, what the rest will cost, and what the budget allows.

Others use :func:`~sweep.cost.estimate.estimate`, :class:`~sweep.cost.budget.BudgetWatch` and
:mod:`~sweep.cost.calibration` (how many trials side by side train fastest), and :mod:`~sweep.cost.compiling` (which
students it pays to compile).
"""
