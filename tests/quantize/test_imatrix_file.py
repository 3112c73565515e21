"""Importance matrices as files: whole after a round trip, typed errors for anything else."""

import random
import struct
import time
from pathlib import Path

import numpy as np
import pytest

from publicai_edge import gguf
from publicai_edge.errors import ModelError
from publicai_edge.gguf import write as gguf_bytes
from publicai_edge.quantize import calibration_documents, imatrix_file
from publicai_edge.quantize.imatrix_file import Entry, Imatrix

DOCUMENTS = ("a" * 64, "b" * 64)


def matrix(**more: object) -> Imatrix:
    entries = {
        "blk.0.attn_q.weight": Entry(np.arange(8, dtype=np.float32).reshape(1, 8), np.array([4], np.float32)),
        "blk.0.ffn_up_exps.weight": Entry(np.ones((3, 8), np.float32), np.array([2, 0, 5], np.float32)),
    }
    values = {"entries": entries, "datasets": ("Notices",), "chunks": 3, "chunk_size": 512, "documents": DOCUMENTS}
    return Imatrix(**{**values, "languages": ("en", "sw"), **more})  # type: ignore[arg-type]


def file(*tensors: tuple[str, list[int], str, bytes], keys: tuple[str, ...] = ()) -> bytes:
    """An importance matrix with tensors as given; ``keys`` are left out."""
    values = {"imatrix.datasets": ("x",), "imatrix.chunk_count": 1, "imatrix.chunk_size": 512}
    entries = [gguf_bytes.entry(key, value) for key, value in values.items() if key not in keys]
    return gguf_bytes.file(entries, tensors)


def floats(*values: float) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


SUMS = ("w.in_sum2", [2], "F32", floats(1, 2))
COUNTS = ("w.counts", [1], "F32", floats(4))


def test_round_trip_keeps_everything(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    imatrix_file.write(path, matrix())
    found = imatrix_file.read(path)
    assert (found.datasets, found.chunks, found.chunk_size) == (("Notices",), 3, 512)
    assert (found.documents, found.languages) == (DOCUMENTS, ("en", "sw"))
    assert calibration_documents(path) == set(DOCUMENTS)
    for name, entry in matrix().entries.items():
        assert (found.entries[name].sums == entry.sums).all()
        assert (found.entries[name].counts == entry.counts).all()


def test_means_are_per_token_and_an_unseen_expert_counts_evenly() -> None:
    entries = matrix().entries
    assert entries["blk.0.attn_q.weight"].means().tolist() == [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5, 1.75]
    means = entries["blk.0.ffn_up_exps.weight"].means().reshape(3, 8)
    assert means[:, 0].tolist() == [0.5, 1, np.float32(0.2)]


def test_equal_contents_give_equal_bytes_whatever_their_order(tmp_path: Path) -> None:
    imatrix_file.write(tmp_path / "a", matrix())
    imatrix_file.write(tmp_path / "b", matrix(entries=dict(reversed(matrix().entries.items()))))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (file(SUMS), "only one of"),
        (file(COUNTS), "only one of"),
        (file(), "holds no weights"),
        (file(SUMS, COUNTS, keys=("imatrix.chunk_count",)), "not an importance matrix"),
        (file(SUMS, COUNTS, keys=("imatrix.datasets",)), "not an importance matrix"),
        (file(SUMS, ("w.counts", [3], "F32", floats(1, 2, 3))), "2 sums for 3 counts"),
        (file(SUMS, ("w.counts", [0], "F32", b"")), "0 counts"),
        (file(("w.in_sum2", [2], "F32", floats(1, float("nan"))), COUNTS), "not finite"),
        (file(("w.in_sum2", [2], "F32", floats(1, -1)), COUNTS), "below 0"),
        (file(SUMS, ("w.counts", [1], "F32", floats(float("inf")))), "not finite"),
        (file(("w.in_sum2", [2], "F16", b"\0\0\0\0"), COUNTS), "of type F16"),
        (file(SUMS, SUMS, COUNTS), "there twice"),
        (struct.pack("<ii", 1, 3) + b"abc", r"older form \(\.dat\)"),
        (b"", "not a GGUF file"),
        (file(SUMS, COUNTS)[:-40], "cut short"),
    ],
)
def test_what_is_no_importance_matrix_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=words) as caught:
        imatrix_file.read(path)
    assert caught.value.hint


def test_many_tensors_on_the_same_bytes_do_not_fill_the_memory(tmp_path: Path) -> None:
    names = [f"w{number}{end}" for number in range(500) for end in (".in_sum2", ".counts")]
    entries = [gguf_bytes.entry(key, value) for key, value in (("imatrix.chunk_count", 1), ("imatrix.chunk_size", 1))]
    entries.append(gguf_bytes.entry("imatrix.datasets", ()))
    headers = [gguf_bytes.tensor_header(name, [200_000], "F32", 0) for name in names]
    head = struct.pack("<4sIQQ", gguf.MAGIC, 3, len(headers), len(entries)) + b"".join([*entries, *headers])
    path = tmp_path / "bomb.gguf"
    path.write_bytes(head.ljust(gguf_bytes.padded(len(head)), b"\0") + bytes(800_000))
    with pytest.raises(ModelError, match="lies at 0 of the data, expected"):
        imatrix_file.read(path)


def test_a_model_is_told_from_an_importance_matrix(model: Path) -> None:
    with pytest.raises(ModelError, match="kind 'model', not an importance matrix"):
        imatrix_file.read(model)


def test_mutated_files_are_answered_with_a_matrix_or_a_typed_error(tmp_path: Path) -> None:
    path = tmp_path / "imatrix.gguf"
    imatrix_file.write(path, matrix())
    good, rng, started = path.read_bytes(), random.Random(5), time.process_time()
    refused = 0
    for _ in range(1500):
        data = bytearray(good)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            imatrix_file.read(path)
        except ModelError:
            refused += 1
    assert refused > 300
    assert time.process_time() - started < 20
