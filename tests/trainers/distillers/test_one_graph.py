"""A method's losses, the student's pass included, are one graph for a compiler, and the same in every epoch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from trainers.contract import Case
from trainers.distillers import METHODS


@pytest.mark.slow(4)
@pytest.mark.parametrize("name", METHODS)
def test_losses_are_compiled_once_for_all_epochs(name: str) -> None:
    import torch._dynamo

    torch._dynamo.reset()
    graphs = []

    def counted(graph: torch.fx.GraphModule, inputs: object) -> object:
        graphs.append(graph)
        return graph.forward

    of, again = Case(name), Case(name)
    method, plain = of.method().train(), again.method().train()
    losses = torch.compile(method.losses, backend=counted, dynamic=False, fullgraph=True)
    for epoch in (1, 1, 2, 3):
        method.at(epoch)
        found, expected = (
            losses(replace(of.batch, epoch=epoch)).terms,
            plain.losses(replace(of.batch, epoch=epoch)).terms,
        )
        assert found.keys() == expected.keys()
        for term, value in found.items():
            torch.testing.assert_close(value, expected[term])
    assert len(graphs) == 1


@pytest.mark.parametrize("name", METHODS)
def test_losses_are_those_of_the_batch_s_epoch_whether_or_not_it_was_begun(name: str) -> None:
    of = Case(name)
    told, untold = of.method().eval(), of.method().eval()
    for epoch in (2, 1):
        told.at(epoch)
        batch = replace(of.batch, epoch=epoch)
        ours, theirs = told.losses(batch).terms, untold.losses(batch).terms
        assert all(torch.equal(ours[term], theirs[term]) for term in theirs)
