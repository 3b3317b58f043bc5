"""What a teacher says of each view, computed once: lessons, folded networks, and the bank that keeps the logits.

Others use :func:`~trainers.teaching.lesson.teaching` and :class:`~trainers.teaching.logit_bank.LogitBank`.
"""
