"""What a method, and a model, must hold, as checks that our own pass and that yours can be put to.

In a test of your own::

    from trainers.contract import METHOD, Case

    @pytest.mark.parametrize("requirement", METHOD, ids=str)
    def test_mykd_holds(requirement):
        assert requirement.wrong(Case("mykd")) is None

:data:`METHOD` and :data:`MODEL` are tuples of :class:`Requirement`, which are put to a :class:`Case` and a
:class:`ModelCase`; :func:`examine` tries them all and gives a :class:`Verdict` each, as ``sweep check`` prints it.
"""

from __future__ import annotations

from trainers.contract.case import Case
from trainers.contract.methods import METHOD
from trainers.contract.models import MODEL, ModelCase
from trainers.contract.requirement import Remark, Requirement, Verdict, examine

__all__ = ["METHOD", "MODEL", "Case", "ModelCase", "Remark", "Requirement", "Verdict", "examine"]
