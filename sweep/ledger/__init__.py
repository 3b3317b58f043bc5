"""Every event of a sweep, on the driver's disk before anybody else hears of it.

Others use :class:`~sweep.ledger.store.Ledger`, the bodies of its events (:mod:`~sweep.ledger.bodies`), the ways in
which trials break (:mod:`~sweep.ledger.failures`), the lock of a sweep (:mod:`~sweep.ledger.lock`), the ledger's copy
in the storage (:mod:`~sweep.ledger.snapshot`) and what an earlier run has left (:mod:`~sweep.ledger.earlier`).
"""
