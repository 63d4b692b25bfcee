"""Shapes are looked at: in a function's first calls of each test, and in some of the later ones."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from beartype import beartype
from jaxtyping import Float, TypeCheckError
from torch import Tensor

from tests.sparing import MOST, MOST_INNER, THEN, begin_test, jaxtyped
from tests.unchecked import unchecked

looked_at = jaxtyped(typechecker=beartype)
WRONG = torch.zeros(2, 3)


@looked_at
def length(x: Float[Tensor, " n"], y: Float[Tensor, " n"]) -> int:
    return x.numel() + y.numel()


def faults(call: Callable[[], object], times: int) -> list[int]:
    """Which of so many calls fail."""
    found = []
    for number in range(times):
        try:
            call()
        except TypeCheckError:
            found.append(number + 1)
    return found


def test_first_calls_of_a_test_are_looked_at_and_some_later_ones() -> None:
    begin_test()
    assert faults(lambda: length(WRONG, WRONG), MOST) == list(range(1, MOST + 1))
    later = faults(lambda: length(WRONG, WRONG), 2 * THEN)
    assert [MOST + number for number in later] == [
        number for number in range(MOST + 1, MOST + 2 * THEN + 1) if number % THEN == 0
    ]
    begin_test()
    assert faults(lambda: length(WRONG, WRONG), 3) == [1, 2, 3]
    with unchecked():
        assert length(WRONG, WRONG) == 12


def test_sizes_of_one_name_are_one() -> None:
    begin_test()
    assert length(torch.zeros(3), torch.zeros(3)) == 6
    with pytest.raises(TypeCheckError):
        length(torch.zeros(3), torch.zeros(4))


def test_functions_inside_others_and_dataclasses_are_looked_at() -> None:
    def outer() -> None:
        @looked_at
        def inner(x: Float[Tensor, " n"]) -> None: ...

        inner(WRONG)

    @looked_at
    @dataclasses.dataclass
    class Held:
        x: Float[Tensor, " n"]

    begin_test()
    assert faults(outer, MOST_INNER + 3) == list(range(1, MOST_INNER + 1))
    assert faults(lambda: Held(WRONG), 3) == [1, 2, 3]
