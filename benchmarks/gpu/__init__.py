"""Is the trainer right on a GPU, and how fast: one prepared script, in stages.

    python -m benchmarks.gpu --part correctness
    python -m benchmarks.gpu --part speed
    python -m benchmarks.gpu --show gpu-findings.jsonl
    python -m benchmarks.gpu --quick --device cpu

It is made for a card that is lent for some minutes, on a machine where little is installed. Each part takes less than
five minutes, correctness comes first, and every stage is a process with a limit of its own, so that one that hangs or
crashes takes no other along. What is found is written at once, a line of JSON each: whatever ends the script leaves
what was found until then. ``--quick --device cpu`` runs every stage from start to end on a CPU, with networks and
images that are as small as can be: it shows that the script works before there is a card.

It needs `trainers`, `benchmarks`, the words of `sweep.ledger.failures`, and of what is to be installed torch,
torchvision, numpy, pillow, pyarrow, pyyaml and pydantic; neither Ray nor MLflow nor Optuna. ``docs/performance.md``
says how it is run, and what each stage settles.

:mod:`~benchmarks.gpu.findings` is the file, :mod:`~benchmarks.gpu.running` runs stages, :mod:`~benchmarks.gpu.stage` is
what runs in each process, :mod:`~benchmarks.gpu.show` prints tables, and :mod:`~benchmarks.gpu.stages` are the stages.
"""
