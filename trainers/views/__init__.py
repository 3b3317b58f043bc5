"""What the student sees of an image: the weak view of every method and the strong one of some, made in batches on the
training device. Others use :class:`~trainers.views.views.Views`.
"""
