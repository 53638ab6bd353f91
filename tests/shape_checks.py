"""Types and shapes are checked at the first calls of a function in a test, not at every one.

The import hook of jaxtyping checks every call, which took a third of the time of tests that train.
What a function is given at its fourth call hardly ever differs from the three before. What is
imported after this module is checked in this way.
"""

import dataclasses
import functools
import inspect

import jaxtyping

#: Calls of each function that are checked in each test.
CHECKED_CALLS = 3

_check_always = jaxtyping.jaxtyped


class _Test:
    """The test that runs, by a number."""

    number = 0


def begin_test():
    """Count calls anew."""
    _Test.number += 1


def check_first_calls(function, *, typechecker):
    """Return a function that is checked at its first calls in each test; a class likewise."""
    if inspect.isclass(function):
        before = vars(function).get("__init__")
        checked = _check_always(function, typechecker=typechecker)
        if dataclasses.is_dataclass(checked) and vars(checked).get("__init__") is not before:
            checked.__init__ = _alternate(checked.__init__, before)
        return checked
    checked = _check_always(function, typechecker=typechecker)
    return _alternate(checked, function) if inspect.isfunction(function) else checked


def _alternate(checked, plain):
    number, num_left = -1, 0

    @functools.wraps(plain)
    def call(*args, **kwargs):
        nonlocal number, num_left
        if number != _Test.number:
            number, num_left = _Test.number, CHECKED_CALLS
        if not num_left:
            return plain(*args, **kwargs)
        num_left -= 1
        return checked(*args, **kwargs)

    return call


def _jaxtyped(function=None, *, typechecker):
    if function is None:
        return functools.partial(check_first_calls, typechecker=typechecker)
    return check_first_calls(function, typechecker=typechecker)


jaxtyping.jaxtyped = _jaxtyped
