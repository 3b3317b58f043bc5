"""A spec expanded into teachers, trials and searches.

Others use :func:`~sweep.plan.expand.build_plan`, and what it makes: :class:`~sweep.plan.slots.Plan`,
:class:`~sweep.plan.slots.Slot` and :class:`~sweep.plan.slots.SearchedCell`, with names for people
(:mod:`~sweep.plan.labels`) and the kinds of trials that take equally long (:mod:`~sweep.plan.kinds`).
"""
