"""A function that is given another type than it announces fails in tests, at its first calls."""

import pytest
from jaxtyping import TypeCheckError
from shape_checks import CHECKED_CALLS, begin_test

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
