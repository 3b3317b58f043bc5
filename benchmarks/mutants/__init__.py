"""Small faults put into a package, one at a time: does a test see each?

    uv run python -m benchmarks.mutants --package sweep/results [--count 40] [--seed 0] [--tests PATH …] [--again FILE]

A random sample of the places where a comparison, a sum, a condition, a number or a call could have been written wrongly
(``sites.py``) is judged in a copy of the checkout. First the unchanged package meets the quick tests, which shows what
each of them runs (``reach.py``). Then each mutant meets the tests that run its line, or all where an import runs it:
those of its own module first and the quick ones before the others (``forked.py``). One line is printed of each: `own`
or `folder`, by the test that saw it; `limit`, where the tests did not come to their end; `survived`, where none saw it.
Then a test is missing, or the code is not needed, or the mutant is the same program written otherwise, which only a
reader can tell.
"""
