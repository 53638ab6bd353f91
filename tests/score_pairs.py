"""Scores and annotations as they occur, for tests of what compares them."""

import numpy as np
from hypothesis import strategies as st

#: Values as they occur: tenths, halves and cuts among them, so that ties and borders are common.
tenths = st.integers(-40, 40).map(lambda tenth: tenth / 10)
values = tenths | st.floats(-4, 4, width=32)


@st.composite
def pairs(draw, smallest=1, largest=30, elements=values):
    size = draw(st.integers(smallest, largest))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    column = st.lists(elements, min_size=size, max_size=size)
    return np.array(draw(column), dtype), np.array(draw(column), dtype)


def array(*numbers):
    return np.array(numbers, np.float64)


def make_sources(seed, num=240, num_seeds=2):
    random = np.random.default_rng(seed)
    truth = random.normal(size=num).round(1)
    rows = {
        name: truth + random.normal(scale=scale, size=(num_seeds, num)).round(1)
        for name, scale in (("good", 0.5), ("bad", 2.0))
    }
    return rows, truth, np.array([f"v{i // 6}" for i in range(num)])
