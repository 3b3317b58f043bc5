"""What a search tries, gives up and chooses: plain Python over Optuna.

Others use :class:`~sweep.search.searches.Searches` (all of a plan) and :class:`~sweep.search.cell_search.CellSearch`
(one cell's); :mod:`~sweep.search.optuna_storage` writes them where Optuna's tools look.
"""
