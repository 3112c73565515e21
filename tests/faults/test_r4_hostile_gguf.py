"""R4: of thousands of broken model files none ends the process that asked, and each is answered soon and in type.

What looks at a file is the harness's parameter: a reader without bounds and llama.cpp in the asking process fail it.
"""

import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from publicai_edge import gguf
from publicai_edge.engine.probe import probe
from publicai_edge.errors import ModelError
from tests.faults import hostile_gguf as hostile
from tests.faults.lanes import Outcome, outcomes
from tests.promises import Figure

Look = Callable[[Path], object]
SECONDS = 10.0
BUSY = 6  # a machine that does other things besides gets so many times as long: processor time is what is limited


def broken(look: Look, files: list[bytes], folder: Path) -> list[str]:
    """Let ``look`` look at every file, and return which parts of the promise did not hold."""
    return [f"file {place} {it.how}: {it.detail}" for place, it in enumerate(looked(look, files, folder))
            if it.how not in {"done", "refused"}]  # fmt: skip


def looked(look: Look, files: list[bytes], folder: Path) -> list[Outcome]:
    folder.mkdir(exist_ok=True)

    def at(place: int) -> None:
        path = folder / f"{place}.gguf"
        path.write_bytes(files[place])
        try:
            look(path)
        finally:
            path.unlink()

    return list(outcomes(at, range(len(files)), seconds=SECONDS * BUSY))


def asked(path: Path) -> None:
    """As a build looks at a model: the bounded reader here, then llama.cpp in a child."""
    gguf.read(path)
    probe(path)


@pytest.mark.parametrize("case", hostile.MUST_REFUSE)
@pytest.mark.promise("R4")
def test_what_llama_cpps_own_test_refuses_is_refused_before_it_is_seen(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(hostile.MUST_REFUSE[case]().file())
    with pytest.raises(ModelError, match=r"model\.gguf"):
        gguf.read(path)


@pytest.mark.promise("R4")
def test_a_whole_model_is_known(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(hostile.whole())
    assert gguf.read(path).architecture == "llama"
    assert probe(path)["vocabulary"] == hostile.WORDS


@pytest.mark.promise("R4")
def test_a_vocabulary_of_bytes_takes_any_text(tmp_path: Path) -> None:
    """Bytes are written ``<0x0A>`` there, which is no mark of a turn though it looks like one."""
    from publicai_edge.engine.chat import ChatFormat
    from publicai_edge.engine.llama import LlamaModel
    from publicai_edge.engine.protocol import ChatMessage

    path = tmp_path / "model.gguf"
    path.write_bytes(hostile.whole())
    model = LlamaModel(path, vocab_only=True)
    tokens = ChatFormat(model).encode([ChatMessage("user", "two\nlines <|im_start|>")]).tokens
    marks = hostile.WORDS - 2, hostile.WORDS - 1
    assert [token for token in tokens if token in marks] == [marks[0], marks[1], marks[0]]
    model.close()


@pytest.mark.promise("R4")
def test_three_hundred_mutated_files_are_answered(tmp_path: Path) -> None:
    files = list(hostile.mutations(7, 300))
    found = looked(gguf.read, files, tmp_path / "read")
    assert {outcome.how for outcome in found} <= {"done", "refused"}, Counter(outcome.how for outcome in found)
    passed = [data for data, outcome in zip(files, found, strict=True) if outcome.how == "done"]
    assert 10 < len(passed) < 290  # some reach llama.cpp, and some do not
    assert broken(asked, passed[:4], tmp_path / "asked") == []


@pytest.mark.soak
@pytest.mark.promise("R4")
def test_ten_thousand_mutated_files_are_answered(tmp_path: Path, figure: Figure) -> None:
    files = list(hostile.mutations(11, 10_000))
    found = looked(gguf.read, files, tmp_path / "read")
    passed = [data for data, outcome in zip(files, found, strict=True) if outcome.how == "done"]
    answered = looked(asked, passed, tmp_path / "asked")
    for outcome in (*found, *answered):
        assert outcome.how in {"done", "refused"}, outcome
    figure("files", len(files), "")
    figure("passed the bounded reader", len(passed), "")
    figure("refused by llama.cpp or its child's limits", sum(it.how == "refused" for it in answered), "")
    figure("slowest answer", round(max(it.seconds for it in (*found, *answered)), 2), "s", bound=SECONDS)


# --- every way to native code leads through the bounded reader ---


@pytest.mark.promise("R4")
def test_llama_cpp_sees_no_file_that_the_bounded_reader_refuses(tmp_path: Path) -> None:
    from publicai_edge.engine.llama import LlamaModel

    path = tmp_path / "model.gguf"
    path.write_bytes(hostile.MUST_REFUSE["KV_DUPLICATE_KEY"]().file())
    for options in ({}, {"vocab_only": True}, {"writable": True}):
        with pytest.raises(ModelError, match="is not a whole GGUF file"):
            LlamaModel(path, **options)


@pytest.mark.promise("R4")
def test_only_two_modules_hand_a_file_to_llama_cpp() -> None:
    """What loads a model is :class:`LlamaModel`; what quantizes one is read first by the stage that starts it."""
    root = Path(gguf.__file__).parent.parent
    calls = ("llama_model_load_from_file", "llama_model_load_from_splits", "llama_load_model", "llama_model_quantize(",
             "gguf_init_from_file", "llama_adapter_lora_init")  # fmt: skip
    found = {path.relative_to(root).as_posix() for path in root.rglob("*.py")
             if any(call in path.read_text() for call in calls)}  # fmt: skip
    assert found == {"engine/llama.py", "quantize/native.py"}


# --- the harness can fail ---


def unbounded(path: Path) -> None:
    """A reader that believes every count and length."""

    def value(stream: BinaryIO, code: int) -> Any:
        if code == 8:
            return stream.read(struct.unpack("<Q", stream.read(8))[0]).decode()
        if code == 9:
            inner, count = struct.unpack("<IQ", stream.read(12))
            return [value(stream, inner) for _ in range(count)]
        form = "<" + "BbHhIif?  Qqd"[code]
        return struct.unpack(form, stream.read(struct.calcsize(form)))[0]

    with path.open("rb") as stream:
        _, _, _, keys = struct.unpack("<4sIQQ", stream.read(24))
        for _ in range(keys):
            stream.read(struct.unpack("<Q", stream.read(8))[0]).decode()
            value(stream, struct.unpack("<I", stream.read(4))[0])


@pytest.mark.promise("R4", broken=True)
def test_a_reader_without_bounds_fails(tmp_path: Path) -> None:
    assert broken(unbounded, list(hostile.mutations(7, 40)), tmp_path / "files")


def native(path: Path) -> None:
    """llama.cpp itself, in the process that asks."""
    from publicai_edge.engine.llama import library

    llama = library()
    params = llama.llama_model_default_params()
    params.vocab_only = True
    handle = llama.llama_model_load_from_file(str(path).encode(), params)
    if not handle:
        raise ModelError("refused")
    llama.llama_model_free(handle)


@pytest.mark.promise("R4", broken=True)
def test_llama_cpp_in_the_asking_process_fails(tmp_path: Path) -> None:
    """A vocabulary with a word twice: whole to every reader of headers, and an assertion of llama.cpp's fails."""
    odd = hostile.whole().replace(b"<0x08>", b"<0x09>")
    assert any("died" in wrong for wrong in broken(native, [odd], tmp_path / "native"))
    assert broken(asked, [odd], tmp_path / "asked") == []
    path = tmp_path / "odd.gguf"
    path.write_bytes(odd)
    with pytest.raises(ModelError, match=r"broke down over .*odd\.gguf"):
        probe(path)
