"""Whatever key stands in a file of sorted lines is found there, and no other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from publicai_edge.engine.voice.lines import Lines, write
from publicai_edge.errors import ModelError

TEXT = st.text(st.characters(exclude_characters="\t\n", exclude_categories=["Cs"]), max_size=6)


@given(st.dictionaries(TEXT.filter(bool), TEXT, max_size=40), TEXT)
def test_every_key_is_found_and_no_other(tmp_path_factory, values, other):
    path = tmp_path_factory.mktemp("lines") / "lines.txt"
    write(path, values)
    lines = Lines(path)
    assert {key: lines.find(key) for key in values} == values
    assert lines.find(other) == values.get(other)


def test_a_lone_surrogate_is_no_key(tmp_path):
    write(tmp_path / "lines.txt", {"a": "1"})
    assert Lines(tmp_path / "lines.txt").find("\ud800") is None


@pytest.mark.parametrize("values", [{"": "x"}, {"a\tb": "x"}, {"a": "x\ny"}])
def test_what_would_not_be_found_again_is_not_written(tmp_path, values):
    with pytest.raises(ValueError, match="empty"):
        write(tmp_path / "lines.txt", values)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(ModelError, match=r"none\.txt"):
        Lines(tmp_path / "none.txt")
