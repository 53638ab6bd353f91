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


class _Calls:
    """How many calls are left to check, in the test of a number."""

    def __init__(self):
        self.number, self.num_left = -1, 0


#: Of the code of each function: one that is defined in another is made anew at each of its calls.
_calls = {}


def check_first_calls(function, *, typechecker):
    """Return a function that is checked at its first calls in each test; a class likewise.

    What checks it is made when it is first called: most functions are not, in most processes.
    """
    if inspect.isclass(function):
        made = vars(function).get("__init__")
        if dataclasses.is_dataclass(function) and made and not hasattr(made, "__wrapped__"):
            function.__init__ = check_first_calls(made, typechecker=typechecker)
        return function
    if not inspect.isfunction(function):
        return _check_always(function, typechecker=typechecker)
    return _alternate(function, typechecker)


def _alternate(plain, typechecker):
    code, checked = plain.__code__, None
    calls, _ = _calls.setdefault(id(code), (_Calls(), code))

    @functools.wraps(plain)
    def call(*args, **kwargs):
        nonlocal checked
        if calls.number != _Test.number:
            calls.number, calls.num_left = _Test.number, CHECKED_CALLS
        if not calls.num_left:
            return plain(*args, **kwargs)
        calls.num_left -= 1
        if checked is None:
            checked = _check_always(plain, typechecker=typechecker)
        return checked(*args, **kwargs)

    return call


def _jaxtyped(function=None, *, typechecker):
    if function is None:
        return functools.partial(check_first_calls, typechecker=typechecker)
    return check_first_calls(function, typechecker=typechecker)


jaxtyping.jaxtyped = _jaxtyped
