"""Cases for ``parametrize``: what ``make test`` runs, and what ``make test-all`` alone."""

import itertools

import pytest
from hypothesis import settings

#: Examples of a profile of hypothesis that is not made for less time.
ALL = 100
#: As few as make a property worth the name.
FEWEST = 10


def with_extended(cases, more):
    """Return cases, and after them more that ``make test`` leaves out."""
    later = [case if isinstance(case, tuple) else (case,) for case in more]
    return [*cases, *(pytest.param(*case, marks=pytest.mark.extended) for case in later)]


def pair_up(first, second):
    """Return pairs in which everything of both is once; the shorter begins anew."""
    longest = max(len(first), len(second))
    pairs = zip(itertools.cycle(first), itertools.cycle(second), strict=False)
    return list(itertools.islice(pairs, longest))


def examples(number):
    """Draw as many examples of a property; fewer in a profile that has fewer, but not below 10."""
    share = settings().max_examples / ALL
    return settings(max_examples=min(number, max(FEWEST, round(number * share))))
