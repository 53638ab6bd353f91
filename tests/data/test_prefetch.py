"""One item ahead is made in a thread, in order, and what fails there is raised here."""

import threading

import pytest

from mien.data.prefetch import prefetch


@pytest.mark.parametrize("items", [[], [1], [1, 2, 3]])
def test_items_are_made_in_their_order(items):
    assert list(prefetch(str, items)) == [str(item) for item in items]


def test_one_item_is_made_ahead_in_another_thread():
    made = [threading.Event() for _ in range(3)]
    threads = set()

    def make(number):
        threads.add(threading.get_ident())
        made[number].set()
        return number

    for number in prefetch(make, range(3)):
        assert all(event.wait(30) for event in made[: number + 2])
        assert not any(event.is_set() for event in made[number + 2 :])
    assert threading.get_ident() not in threads


def test_what_fails_in_the_thread_is_raised_where_it_was_due():
    made = prefetch(lambda number: 6 // number, [3, 0])
    assert next(made) == 2
    with pytest.raises(ZeroDivisionError):
        next(made)
