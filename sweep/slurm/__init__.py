"""A sweep as a job of Slurm: the script that runs it there, submitted, and what would not work there.

Others use :func:`~sweep.slurm.script.written`, :func:`~sweep.slurm.submit.submit` and
:func:`~sweep.slurm.check.findings` (``docs/slurm.md``). Nothing of ours waits for the job: Slurm starts it, and starts
it again when its time was up.
"""
