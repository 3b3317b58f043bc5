"""The literature's numbers: whole, matched to what did the same, and set beside ours."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from sweep.formats import Format
from sweep.ledger.store import Ledger
from sweep.plan.expand import build_plan
from sweep.results import published
from sweep.results.board import Leaderboard, leaderboard, with_published
from sweep.results.draw import render
from sweep.results.grid import grid
from sweep.results.published import PRINTED, bare, figures, gap, reported, reported_teacher
from sweep.results.records import records
from sweep.results.rows import Row
from tests.support.boards import said
from tests.support.examples import begin, record, small_spec
from tests.sweep.results.test_draw import check_latex
from trainers.distillers import METHODS
from trainers.models import MODELS

KD = {"ce_weight": 0.1, "alpha": 0.9, "temperature": 4.0}


def row(
    method: str,
    params: dict[str, Any],
    values: tuple[float, ...] = (70.0, 71.0),
    pair: str = "resnet56→resnet20",
    varied: tuple[str, ...] = (),
    **more: Any,
) -> Row:
    by_seed = dict(enumerate(values))
    config = {"method": {"name": method, "params": params}, "recipe": {"epochs": 240}}
    known: dict[str, Any] = {"delta": None, "missing": {}, "best": by_seed, "last": by_seed}
    shown = {name: params[name] for name in varied}
    return Row("cifar", pair, method, method, varied=shown, values=by_seed, config=config | more, **known)


# -- the file -----------------------------------------------------------------------------------------------------


def test_every_figure_has_a_source_and_a_possible_number() -> None:
    assert len(figures()) > 1000
    for figure in figures():
        assert figure.source
        assert figure.paper
        assert 0 < figure.mean < 100
        assert figure.std is None or 0 < figure.std < 5
        assert figure.seeds is None or 1 <= figure.seeds <= 10


def test_figures_that_every_paper_prints() -> None:
    """Table 1 of CRD: resnet56 72.34, resnet20 69.06, KD 70.66; DKD's paper: 71.97."""
    assert reported_teacher("cifar100", "resnet56→resnet20", "best").mean == 72.34  # type: ignore[union-attr]
    for method, params, mean in (
        ("scratch", {}, 69.06),
        ("kd", KD, 70.66),
        ("dkd", {"standardize": False}, 71.97),
        ("crd", {}, 71.16),
    ):
        found = reported(row(method, params), "cifar100", "best")
        assert found is not None
        assert found.mean == mean


@pytest.mark.parametrize(
    ("method", "params", "mean"),
    [
        ("rld", {"standardize": False}, 72.00),
        ("la", {}, 71.24),
        ("rc", {"standardize": False}, 71.63),
        ("lr_revision", {}, 70.74),
        ("ldrld", {}, 72.20),
        ("rld", {"standardize": True}, None),
    ],
)
def test_figures_of_newer_methods(method: str, params: dict[str, Any], mean: float | None) -> None:
    """Of resnet56 -> resnet20, as summaries of RLD's and LDRLD's papers have them."""
    found = reported(row(method, params), "cifar100", "best")
    assert (None if found is None else found.mean) == mean


@pytest.mark.parametrize(
    ("params", "mean"),
    [
        ({"around": "dkd"}, 77.30),
        ({"around": "kd", "ce_weight": 0.1, "alpha": 0.9, "temperature": 4}, 76.30),
        ({"around": "kd", "ce_weight": 1, "alpha": 1, "temperature": 4}, None),
        ({"around": "nkd", "nkd_classes": "all"}, 76.34),
        ({"around": "nkd", "nkd_classes": "others"}, None),
    ],
)
def test_figures_of_sdd_stand_beside_what_it_was_put_around(params: dict[str, Any], mean: float | None) -> None:
    found = reported(row("sdd", params, pair="resnet32x4→ShuffleV1"), "cifar100", "best")
    assert (None if found is None else found.mean) == mean


def test_printed_names_are_our_methods_with_hyperparameters_that_they_have() -> None:
    for name, (method, params) in PRINTED.items():
        assert set(params) <= set(METHODS[method].Params.model_fields), name
    assert {figure.method for figure in figures()} >= set(PRINTED)


def test_a_printed_name_fixes_the_numbers_that_it_prints() -> None:
    """`KD (T=4)`, `SimKD (f=8)`, `KD raw logits kd_weight=6`."""
    settings = {name: [float(number) for number in re.findall(r"=([\d.]+)", name)] for name in PRINTED}
    assert sum(map(len, settings.values())) > 15
    for name, numbers in settings.items():
        assert set(numbers) <= set(PRINTED[name][1].values()), name


def test_most_figures_of_students_that_we_have_can_stand_beside_ours() -> None:
    pairs = {(figure.dataset, figure.teacher, figure.student) for figure in figures()}
    known = {bare(name) for name in MODELS}
    ours = {pair for pair in pairs if {pair[1], pair[2]} <= known}
    assert len(ours) > 20
    for dataset, teacher, student in ours & {pair for pair in pairs if pair[0] == "cifar100"}:
        assert reported(row("kd", KD, pair=f"{teacher}→{student}"), dataset, "best") is not None, (teacher, student)


# -- what did the same --------------------------------------------------------------------------------------------


def test_another_data_set_pair_or_setting_is_not_the_same() -> None:
    assert reported(row("kd", KD), "digits", "best") is None
    assert reported(row("kd", KD, pair="resnet56→resnet8"), "cifar100", "best") is None
    assert reported(row("kd", KD | {"temperature": 2.0}), "cifar100", "best") is None
    assert reported(row("kd", KD | {"alpha": 1.0}), "cifar100", "best") is None
    assert reported(row("gdkd", {}), "cifar100", "best") is None


def test_standardised_logits_are_another_method_in_the_papers() -> None:
    plain = reported(row("dkd", {"standardize": False}), "cifar100", "best")
    standard = reported(row("dkd", {"standardize": True, "alpha": 1.0, "beta": 1.0}), "cifar100", "best")
    assert plain is not None
    assert standard is not None
    assert (plain.mean, standard.mean) == (71.97, 72.32)


def test_a_logs_settings_and_epochs_must_be_the_rows() -> None:
    """LSKD's released logs: 71.53 at the best epoch and 71.37 at the last, with T = 2 and w = 9."""
    same = row("lskd", {"ce_weight": 0.1, "kd_weight": 9.0, "temperature": 2.0})
    best, last = (reported(same, "cifar100", shown) for shown in ("best", "last"))
    assert best is not None
    assert last is not None
    assert 71.53 in {best.mean, *best.others}
    assert 71.37 in {last.mean, *last.others}
    assert 71.37 not in {best.mean, *best.others}
    other = reported(row("lskd", {"kd_weight": 6.0, "temperature": 2.0}), "cifar100", "best")
    short = reported(replace(same, config=same.config | {"recipe": {"epochs": 30}}), "cifar100", "best")
    for found in (other, short):
        assert found is not None
        assert 71.53 not in {found.mean, *found.others}


def test_a_row_of_a_sweep_over_what_no_figure_tells_stands_alone() -> None:
    swept = row("dkd", {"standardize": False, "beta": 2.0}, varied=("beta",))
    assert reported(swept, "cifar100", "best") is None
    assert reported(replace(swept, tuned="beta=2, the best of 20"), "cifar100", "best") is not None
    assert reported(row("kd", KD, varied=("temperature",)), "cifar100", "best") is not None


def test_architectures_are_known_by_the_papers_names() -> None:
    assert bare("imagenet/ResNet34@1a2b3c4d") == "ResNet34"
    found = reported(row("scratch", {}, pair="imagenet/ResNet34@1a2b3c4d→imagenet/ResNet18"), "imagenet", "best")
    assert found is not None
    assert found.mean == 69.75


def test_who_ran_it_again_is_not_who_published_it() -> None:
    """Of DKD on resnet32x4→resnet8x4 the paper's 76.32 stands, not the 75.98 of a user's five runs."""
    found = reported(row("dkd", {"standardize": False}, pair="resnet32x4→resnet8x4"), "cifar100", "best")
    assert found is not None
    assert found.mean == 76.32
    assert 75.98 not in found.others


def test_the_gap_is_counted_in_our_standard_deviations() -> None:
    theirs = published.Reported(70.0, ("x",), ())
    near, far = (gap(row("kd", KD, values), theirs) for values in ((70.0, 71.0), (71.0, 72.0)))
    assert near is not None
    assert far is not None
    assert (near.points, near.reproduced, far.points, far.reproduced) == (0.5, True, 1.5, False)
    assert near.stds == pytest.approx(0.5 / 0.5**0.5)
    assert far.stds == pytest.approx(1.5 / 0.5**0.5)
    alone = gap(row("kd", KD, (70.0,)), theirs)
    assert alone is not None
    assert (alone.stds, alone.reproduced) == (None, False)
    assert gap(row("kd", KD, ()), theirs) is None


# -- beside ours --------------------------------------------------------------------------------------------------


@pytest.fixture
def board(ledger: Ledger) -> Leaderboard:
    """As of CIFAR-100, where kd comes near to the published number and scratch does not."""
    plan = build_plan(small_spec(pairs=["resnet56 -> resnet20"], methods=["scratch", "kd", "gdkd"], protocol="paper"))
    begin(ledger, plan)
    record(ledger, plan, plan.teachers[0], [72.0])
    for slot in plan.students:
        record(ledger, plan, slot, [{"scratch": 65.0, "kd": 70.2, "gdkd": 72.0}[slot.method] + slot.seed])
    found = leaderboard(ledger)
    return with_published(replace(found, plan=replace(found.plan, dataset="cifar100")))


def test_the_table_holds_both_with_their_sources(board: Leaderboard) -> None:
    lines = render(board, Format.MARKDOWN).splitlines()
    assert lines[2] == "| method | resnet56→resnet20 | Δ kd | published | gap |"
    assert "| teacher | 72.00 |  | 72.34 [1] |  |" in lines
    assert "| kd | 70.70 ± 0.71 (2) |  | 70.66 [1] | +0.04 (0.1 std) |" in lines
    assert re.search(
        r"\| scratch \| 65\.50 ± 0\.71 \(2\) \| −5\.20 \| 69\.06 \[1\] .*\| −3\.56 \(5\.0 std\) \|", str(lines)
    )
    assert "| gdkd | 72.50 ± 0.71 (2) | +1.80 |  |  |" in lines
    assert "Reproduced within 1 std: 1 of 2." in said(board)
    assert "[1] CRD (arXiv 1910.10699), README benchmark 1 same-architecture (HobbitLong/RepDistiller README.md)" in (
        said(board)
    )
    assert "Papers train 240 epochs on cifar100, 2 of these rows do not." in said(board)
    check_latex(render(board, Format.LATEX))


@pytest.mark.parametrize(
    ("others", "told"), [((), ""), ((70.5,), " (70.50)"), ((70.25, 71.0, 71.125), " (70.25–71.12)")], ids=str
)
def test_what_others_print_stands_behind_as_one_number_or_a_range(
    board: Leaderboard, others: tuple[float, ...], told: str
) -> None:
    (kd,) = (row for row in board.rows if row.label == "kd")
    place, first = (kd.recipe, kd.label, kd.pair), published.Reported(60.0, ("elsewhere",), ())
    (scratch,) = (row for row in board.rows if row.label == "scratch")
    figures = {(scratch.recipe, scratch.label, scratch.pair): first, place: published.Reported(71.0, ("here",), others)}
    columns, lines = grid(replace(board, published=figures))
    by_method = {line[columns.index("method")]: line[columns.index("published")] for line in lines}
    assert (by_method["scratch"], by_method["kd"], by_method["gdkd"]) == ("60.00 [2]", f"71.00 [3]{told}", "")


def test_records_hold_the_published_figures(board: Leaderboard) -> None:
    scratch, kd, gdkd = json.loads(render(board, Format.JSON))
    assert (kd["published"], kd["gap"], kd["gap_stds"], kd["reproduced"]) == (70.66, 0.04, 0.0566, True)
    assert "CRD (arXiv 1910.10699)" in kd["published_by"]
    assert (scratch["reproduced"], gdkd["published"], gdkd["reproduced"]) == (False, None, None)
    assert "published" not in records(replace(board, published=None))[0]


def test_where_nothing_is_published_the_caption_says_so(ledger: Ledger) -> None:
    plan = build_plan(small_spec(methods=["kd"]))
    begin(ledger, plan)
    board = with_published(leaderboard(ledger))
    assert "No published figure is known of these cells on digits." in said(board)
    assert "published" not in render(board, Format.MARKDOWN).splitlines()[2]
