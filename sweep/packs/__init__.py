"""A sweep as one file, to be kept, handed on and opened elsewhere: a pack.

Others use :func:`~sweep.packs.packing.pack` and :func:`~sweep.packs.unpacking.unpack`. A pack is data: nothing that
it holds is run when it is opened (``docs/sharing.md``).
"""
