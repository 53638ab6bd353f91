import json
import math

import pytest

from mien.files.json_values import json_number, json_numbers, write_json


def test_a_number_that_is_not_finite_becomes_none():
    assert json_numbers([0.5, math.nan, math.inf, -math.inf]) == (0.5, None, None, None)
    assert isinstance(json_number(3), int)


def test_a_file_is_what_json_dumps_writes(tmp_path):
    values = {"a": [1, 0.5, None], "b": "你"}
    write_json(tmp_path / "a.json", values, indent=1)
    assert (tmp_path / "a.json").read_bytes() == json.dumps(values, indent=1).encode()
    write_json(tmp_path / "a.json", values, ensure_ascii=False)
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{"a": [1, 0.5, null], "b": "你"}'


def test_a_number_that_json_lacks_is_refused_where_it_must_be_and_the_old_file_stays(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": math.nan}, allow_nan=False)
    assert path.read_text() == '{"a": 1}'
