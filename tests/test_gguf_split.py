"""Models in several files: llama.cpp loads them, and answers with the same tokens; damage is named."""

import resource
from pathlib import Path

import pytest

from publicai_edge import gguf
from publicai_edge.engine import fit
from publicai_edge.engine.client import WorkerEngine
from publicai_edge.engine.config import EngineConfig
from publicai_edge.errors import ModelError
from publicai_edge.gguf import split
from publicai_edge.gguf import write as gguf_bytes
from tests.engine.engines import SHA, Answer, answer, request_of, use_model

MOST = 40_000_000


@pytest.fixture(scope="module")
def parts(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """SmolLM2 in files of at most 40 MB."""
    return split.write(model, tmp_path_factory.mktemp("split") / "model.gguf", MOST, lambda _: None)


def test_every_file_is_within_the_bound_and_named_as_llama_cpp_looks_for_it(parts: list[Path]) -> None:
    assert [part.name for part in parts] == [f"model-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    assert all(part.stat().st_size <= MOST for part in parts)


def test_header_of_all_files_is_that_of_the_whole(parts: list[Path], model: Path) -> None:
    whole, joined = gguf.read(model), gguf.read(parts[0])
    ours = {tensor.name: (tensor.dimensions, tensor.type) for tensor in joined.tensors}
    assert ours == {tensor.name: (tensor.dimensions, tensor.type) for tensor in whole.tensors}
    kept = {key: value for key, value in joined.metadata.items() if not key.startswith("split.")}
    assert kept == whole.metadata
    assert joined.size == sum(part.stat().st_size for part in parts)
    assert list(joined.files) == parts


def test_memory_is_reckoned_for_all_files(parts: list[Path], model: Path) -> None:
    whole, joined = (fit.need(gguf.read(path), cells=1024).total for path in (model, parts[0]))
    assert joined == pytest.approx(whole, rel=0.001)


def test_tensors_lie_in_the_files_byte_for_byte(parts: list[Path], model: Path) -> None:
    whole = gguf.read(model)
    data = {tensor.name: whole.data_start + tensor.offset for tensor in whole.tensors}
    with model.open("rb") as original:
        for part in parts:
            header = gguf.header.read(part)
            with part.open("rb") as copy:
                for tensor in header.tensors:
                    original.seek(data[tensor.name])
                    copy.seek(header.data_start + tensor.offset)
                    assert copy.read(4096) == original.read(4096), tensor.name


@pytest.mark.slow
def test_split_model_gives_the_same_tokens_through_the_engine(parts: list[Path], model: Path) -> None:
    def told_by(path: Path) -> Answer:
        found: list[Answer] = []

        async def body(engine: WorkerEngine) -> None:
            found.append(await answer(engine, request_of("You answer shortly.", "What is a library?")))

        use_model(EngineConfig(path, SHA, 512, threads=2), body)
        return found[0]

    one, several = told_by(model), told_by(parts[0])
    assert (several[0], several[1].prompt_tokens) == (one[0], one[1].prompt_tokens)
    assert several[0]


def test_missing_or_exchanged_file_is_named(parts: list[Path], tmp_path: Path) -> None:
    for part in parts:
        (tmp_path / part.name).symlink_to(part)
    last = tmp_path / parts[2].name
    last.unlink()
    with pytest.raises(ModelError, match=r"model-00003-of-00003\.gguf"):
        gguf.read(tmp_path / parts[0].name)
    last.symlink_to(parts[1])
    with pytest.raises(ModelError, match="says that it is part 1"):
        gguf.read(tmp_path / parts[0].name)
    with pytest.raises(ModelError, match="first"):
        gguf.read(parts[1])


def test_tensor_that_fits_no_file_says_how_large_files_have_to_be(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"token_embd\.weight alone") as caught:
        split.write(model, tmp_path / "model.gguf", 5_000_000, lambda _: None)
    most = int((caught.value.hint or "").split("max_file_mb to ")[1].split(" ")[0]) * 10**6
    assert split.write(model, tmp_path / "model.gguf", most, lambda _: None)


def test_splitting_takes_memory_for_one_piece_only(model: Path, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    split.write(model, tmp_path / "model.gguf", MOST, lambda _: None)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000


def tiny(folder: Path, number: int, *tensors: str, count: int | None = 2, total: int = 2) -> Path:
    """Write one of two files of a model with two tensors, or a file that says something else of itself."""
    said = {split.NUMBER: number, split.TENSORS: total} | ({split.COUNT: count} if count is not None else {})
    entries = [gguf_bytes.entry("general.architecture", "llama"), *(gguf_bytes.entry(*item) for item in said.items())]
    place = folder / split.part_name("model", number, 2)
    place.write_bytes(gguf_bytes.file(entries, [(name, (32,), "F32", bytes(128)) for name in tensors]))
    return place


@pytest.mark.parametrize(
    ("of_another", "why"),
    [
        ({"count": 3}, r"00002-of-00002\.gguf is of a model of 3 files, and model-00001-of-00002\.gguf of one of 2"),
        ({"count": None}, r"00002-of-00002\.gguf is of a model of None files"),
        ({"total": 3}, r"00002-of-00002\.gguf is of a model of 3 tensors, and model-00001-of-00002\.gguf of one of 2"),
    ],
)
def test_parts_of_two_models_are_refused_by_name(tmp_path: Path, of_another: dict[str, int | None], why: str) -> None:
    first = tiny(tmp_path, 0, "a")
    tiny(tmp_path, 1, "b")
    assert [tensor.name for tensor in gguf.read(first).tensors] == ["a", "b"]
    tiny(tmp_path, 1, "b", **of_another)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=why):
        gguf.read(first)


def test_two_parts_with_the_same_tensor_are_refused_by_name(tmp_path: Path) -> None:
    first = tiny(tmp_path, 0, "a")
    tiny(tmp_path, 1, "a")
    with pytest.raises(ModelError, match=r"00001-of-00002\.gguf and model-00002-of-00002\.gguf both hold the tensor a"):
        gguf.read(first)
