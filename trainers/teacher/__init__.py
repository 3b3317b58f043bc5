"""A teacher stored, imported and refused: its passport, the store, and published checkpoints read as data.

Others use :class:`~trainers.teacher.store.TeacherStore`, :class:`~trainers.teacher.passport.Passport` and
:func:`~trainers.teacher.pretrained.read`.
"""
