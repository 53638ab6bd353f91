"""A function that is given another type than it announces fails in tests, at its first calls."""

import pytest
from beartype import beartype
from jaxtyping import TypeCheckError
from shape_checks import CHECKED_CALLS, begin_test, check_first_calls

from mien.tensors import pad
from mien.types import Clip


def test_a_wrong_type_is_an_error_at_the_first_calls_of_each_test():
    for _ in range(2):
        begin_test()
        for _ in range(CHECKED_CALLS):
            with pytest.raises(TypeCheckError, match="pad"):
                pad("no series")
    for _ in range(2):
        begin_test()
        for _ in range(CHECKED_CALLS):
            with pytest.raises(TypeCheckError, match="id"):
                Clip(id=3, split="train", transcript="", labels={})


def test_a_function_that_another_makes_anew_is_one_function():
    def make():
        def double(number: int) -> int:
            return 2 * number

        return check_first_calls(double, typechecker=beartype)

    begin_test()
    assert make()(2) == 4
    for _ in range(CHECKED_CALLS - 1):
        with pytest.raises(TypeCheckError, match="double"):
            make()("a")
    assert make()("a") == "aa"
