"""Images as uint8 tensors: decoded once and mapped (:mod:`~trainers.data.pixels.cache`), streamed where they are too
many (:mod:`~trainers.data.pixels.streaming`), or fetched from a storage (:mod:`~trainers.data.pixels.remote`).
"""
