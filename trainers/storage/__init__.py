"""Bytes on their way to disk and back: hashed (:mod:`~trainers.storage.content`), written whole
(:mod:`~trainers.storage.files`), verified (:mod:`~trainers.storage.checkpoint`), and shared by machines
(:mod:`~trainers.storage.shared`).
"""
