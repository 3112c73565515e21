"""The lock file pins what a source resolved to, and a damaged one is refused."""

from pathlib import Path

import pytest

from publicai_edge.artifact import Blob, FileSet
from publicai_edge.errors import RecipeError
from publicai_edge.recipe import lock
from publicai_edge.recipe.lock import Pin

PIN = Pin("hf:a/b/c.gguf", "0" * 40, None, FileSet({"c.gguf": Blob("a" * 64, 3)}))


def test_written_pins_are_read_back_and_not_written_twice(tmp_path: Path) -> None:
    place = lock.lock_path(tmp_path / "demo.toml")
    assert place.name == "demo.lock.json"
    assert lock.write(place, {"model": PIN})
    assert lock.read(place) == {"model": PIN}
    assert not lock.write(place, {"model": PIN})


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 9, "pins": {}}', '{"format": 1, "pins": {"model": {}}}'])
def test_damaged_lock_is_refused_by_name(tmp_path: Path, content: str) -> None:
    place = tmp_path / "demo.lock.json"
    place.write_text(content)
    with pytest.raises(RecipeError, match=r"demo\.lock\.json is damaged"):
        lock.read(place)


def test_path_in_a_lock_cannot_climb_out(tmp_path: Path) -> None:
    place = tmp_path / "demo.lock.json"
    lock.write(place, {"model": PIN})
    place.write_text(place.read_text().replace("c.gguf", "../c.gguf"))
    with pytest.raises(RecipeError, match="damaged"):
        lock.read(place)
