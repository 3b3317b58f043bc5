"""Several trials in one process, over the same batches.

Trials of one data set, one recipe and one seed see the same images in the same order and in the same views, whatever
their method and their weights. A **cohort** of them has the data, the views and what the teacher says of them once, and
takes a step of each student for every batch. Each trial's numbers are those it has alone (:func:`trainers.fit.fit`): on
the CPU bit for bit. One that diverges, fails or is closed leaves the others as they are.

What they share fails for all who read it: an image that cannot be read, or the teacher's pass. A GPU has a stream for
each student, whose kernels may overlap; that has not been run on a GPU.
"""

from trainers.cohort.strangers import fellows
from trainers.cohort.together import CohortTrial, fit_cohort

__all__ = ["CohortTrial", "fellows", "fit_cohort"]
