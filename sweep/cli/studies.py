"""What `sweep studies` prints: every search of a sweep, how far it is, what it has found, and whether to go on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from sweep.formats import Format, listing
from sweep.layout import SweepPaths
from sweep.ledger.store import Ledger
from sweep.plan.labels import SYMBOLS, shown, untuned
from sweep.results.studies import Study, alike, flat, overview, record, studies
from sweep.search import importance
from sweep.search.learned import in_words
from sweep.search.looking_back import GivenUp, foretells, in_short, pauses
from sweep.search.race import Fallen
from sweep.text import counted

MOST_TOLD = 20
"""Searches that are told of one by one below the table."""
MOST_STEPS = 5
"""Values of the best so far."""
MOST_GIVEN_UP = 5
LINE = 24
"""Letters of a line of the best so far."""
LETTERS = "▁▂▃▄▅▆▇█"
WIDTH, INDENT = 110, 15
"""Columns of the text, and of what stands before it."""


def text(paths: SweepPaths, how: Format) -> str:
    """The searches of a sweep as they are printed.

    Raises:
        InputError: when the sweep searches nothing.
    """
    with closing(Ledger(paths.ledger)) as ledger:
        found = studies(ledger)
    if how is Format.JSON:
        return listing([record(study) for study in found], how)
    if how is not Format.TABLE:
        return listing(alike([flat(study) for study in found]), how)
    parts = [listing(alike([overview(study) for study in found]), how), *map(_told, found[:MOST_TOLD])]
    if len(found) > MOST_TOLD:
        parts.append(f"The first {MOST_TOLD} of {len(found)} are told of; --format json has all.\n")
    if any(foretells(study.search) for study in found[:MOST_TOLD]):
        told = EXPLAINED + (PAUSES_EXPLAINED if any(study.cell.pauses for study in found[:MOST_TOLD]) else "")
        parts.append(f"{textwrap.fill(told, WIDTH)}\n")
    return "\n".join(parts)


EXPLAINED = (
    "Foretold: after the last epoch, ± a standard deviation, by the search's model. A trial is given up where a point"
    " not tried yet (instead) is expected to add more to the best for each epoch that it needs."
)
PAUSES_EXPLAINED = (
    " Where a search pauses, it pauses then, and a paused trial may be what is trained instead; what is not taken up"
    " again is given up in the end."
)


def _told(study: Study) -> str:
    cell, rules = study.cell, dict.fromkeys((study.cell.search["sampler"], study.cell.search["pruner"]))
    head = f"{cell.pair} · {untuned(cell.label)} · {cell.recipe} ({', '.join(rules)})"
    lines = [
        head,
        *_learned(study),
        *_best_so_far(study),
        *_pauses(study),
        *_given_up(study),
        *_race(study),
        *_importance(study),
        *_more(study),
    ]
    return "".join(f"{line}\n" for line in lines)


def _learned(study: Study) -> Iterator[str]:
    if study.search.learned:
        yield _filled(in_words(study.search.learned), "begins with")


def _best_so_far(study: Study) -> Iterator[str]:
    steps, epochs = study.best_so_far, study.epochs
    if not steps:
        yield _filled(f"no trial has finished; {epochs} epochs so far", "best so far")
        return
    kept = steps if len(steps) <= MOST_STEPS else [steps[0], *steps[1 - MOST_STEPS :]]
    told = [f"{value:.2f} after {spent}" for spent, value in kept]
    if len(kept) < len(steps):
        told.insert(1, "…")
    metric = study.cell.search["metrics"][0]
    yield _filled(f"{line(steps, epochs)}  {metric} {', '.join(told)} of {epochs} epochs", "best so far")


def line(steps: list[tuple[int, float]], epochs: int) -> str:
    """The best so far as a line of letters, from its first value to its last; dots where nothing had finished.

    Args:
        steps: epochs spent, and the best value from there on; one at least.
        epochs: spent in all.
    """
    low, high = steps[0][1], steps[-1][1]
    letters = []
    for place in range(1, LINE + 1):
        known = [value for spent, value in steps if spent <= epochs * place / LINE]
        height = (known[-1] - low) / (high - low) if known and high > low else 1.0
        letters.append(LETTERS[round(height * (len(LETTERS) - 1))] if known else "·")
    return "".join(letters)


def _pauses(study: Study) -> Iterator[str]:
    found = pauses(study.search)
    if not found:
        return
    search, waiting = study.search, set(study.search.paused)
    yield _filled(in_short(search), "paused")
    some = [one for one in found if one.resumed or one.number in waiting][-MOST_GIVEN_UP:]
    for one in some:
        asked = search.asked[one.number]
        state = "still paused" if not one.resumed else f"taken up again, {STATES[asked.state]}"
        yield _filled(f"#{one.number} {params(asked.params)} after epoch {one.epoch}: {state}", "")


STATES = {
    "running": "and runs",
    "paused": "and paused since",
    "finished": "and finished",
    "pruned": "and given up in the end",
    "failed": "and failed",
}
"""What has become of a trial that was taken up again."""


def _given_up(study: Study) -> Iterator[str]:
    some = study.given_up(MOST_GIVEN_UP)
    before = sum(asked.state == "pruned" for asked in study.search.asked) - len(some)
    for place, one in enumerate(some):
        told = f"#{one.number} {params(one.params)}, {one.value:.2f} after epoch {one.epoch} of {one.epochs}"
        yield _filled(told, "" if place else "given up")
        yield from [_filled(why, "", deeper=3) for why in _ground(study, one)]
    if before:
        yield _filled(f"and {before} before; --format json has all", "")


def _ground(study: Study, one: GivenUp) -> Iterator[str]:
    search = study.cell.search
    if study.cell.pauses:
        yield "paused then, and not worth taking up again in the end" + (";" if one.weighed else "")
    if one.weighed is not None:
        (mean, deviation), (other, its) = one.weighed.end, one.weighed.instead_end
        yield f"foretold {mean:.1f} ± {deviation:.1f}, to add {one.weighed.gain:.3g} points an epoch;"
        point = params(one.weighed.instead)
        yield f"instead  {other:.1f} ± {its:.1f}, to add {one.weighed.promise:.3g} points an epoch: {point}"
    elif one.bar is not None and search["pruner"] == "median":
        yield f"its best was below the others' median at that epoch, {one.bar:.2f}"
    elif one.bar is not None:
        yield f"not among the best 1/{search['reduction']} of those that had come so far, who had {one.bar:.2f} or more"


def _race(study: Study) -> Iterator[str]:
    race = study.race
    if race is None:
        return
    means = [f"{params(one.params)} {race.means[one.number]:.2f}" for one in race.left]
    if race.waits:
        head = f"{len(race.left)} of {len(race.contestants)} are in it, with seed {race.seeds} of {race.of_seeds}"
    elif not race.left:
        whole = "both" if len(race.contestants) == 2 else f"all {len(race.contestants)}"
        head = f"{whole} broke off within {counted(race.seeds, 'seed')}, so none has won"
    elif len(race.left) > 1:
        head = f"not told apart over {race.seeds} seeds: {', '.join(means)}"
    else:
        head = f"{', '.join(means)} is left of {len(race.contestants)}, after {counted(race.seeds, 'seed')}"
    saved = "" if race.waits else f", {race.saved} saved"
    yield _filled(f"{head} ({len(race.asked)} trials{saved})", "race")
    for one in race.fallen:
        yield _filled(f"#{one.chosen.number} {params(one.chosen.params)} {_why(one)}", "")


def _why(one: Fallen) -> str:
    if one.broke_off:
        return f"broke off with seed {one.seeds}"
    return f"given up after {one.seeds} seeds: {one.difference:+.2f} to the highest mean, p {one.p:.2g}"


def _importance(study: Study) -> Iterator[str]:
    if len(study.cell.space) < 2:
        return
    shares, judged = study.importance, len(importance.judged(study.search))
    if shares:
        told = ", ".join(f"{SYMBOLS.get(name, name)} {share:.2f}" for name, share in shares.items())
        given_up = ", those given up with their foretold ends" if foretells(study.search) else ""
        yield _filled(f"{told} (of {judged} trials{given_up})", "importance")
    elif judged < importance.ENOUGH:
        yield _filled(
            f"{judged} trials are known to their end, of {importance.ENOUGH} that it takes to tell", "importance"
        )


def _more(study: Study) -> Iterator[str]:
    """What one more trial promises, where that can be said."""
    ahead = study.outlook
    if ahead is None:
        return
    (mean, deviation), noise = ahead.end, study.noise
    told = (
        f"one more is expected to add {ahead.gain:.2f} points to {ahead.best:.2f} ({params(ahead.params)}, foretold"
        f" {mean:.1f} ± {deviation:.1f}); "
    )
    if noise is None:
        yield _filled(f"{told}how much seeds differ is not known yet", "more trials")
        return
    verdict = "likely to help" if ahead.gain > noise.deviation else "little to gain"
    told += f"{noise.seeds} seeds differ by a standard deviation of {noise.deviation:.2f}"
    yield _filled(f"{verdict}: {told}", "more trials")


def params(some: Mapping[str, Any]) -> str:
    """A point in few digits: ``α=0.107 lr=0.298``."""
    return " ".join(f"{SYMBOLS.get(name, name)}={_short(value)}" for name, value in some.items())


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else shown(value)


def _filled(told: str, head: str, deeper: int = 0) -> str:
    """A paragraph, with a word before it."""
    first = f"  {head}".ljust(INDENT + deeper)
    return textwrap.fill(told, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
