"""Trained students: found in a sweep, read back, chosen, and handed on as files for production.

:func:`sweep.students.exporting.export` writes one with its preprocessing, a card and a check of its own;
:func:`sweep.students.loading.load_student` reads such a ``model.safetensors``. ``docs/students.md`` is the guide.
"""
