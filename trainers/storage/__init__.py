"""Bytes on their way to disk and back: looked at before they are read, where others made them
(:mod:`~trainers.storage.inputs`), hashed (:mod:`~trainers.storage.content`), written whole
(:mod:`~trainers.storage.files`), verified (:mod:`~trainers.storage.checkpoint`), and shared by machines
(:mod:`~trainers.storage.shared`).
"""
