"""The bounded GGUF reader: right about real files, quick and typed about broken ones."""

import random
import struct
import time
from itertools import pairwise
from pathlib import Path

import pytest

from publicai_edge import gguf
from publicai_edge.errors import ModelError


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def tiny(*, tensors: int = 0, keys: int = 1, extra: bytes = b"", version: int = 3) -> bytes:
    """A GGUF file of one key, general.architecture."""
    head = b"GGUF" + struct.pack("<IQQ", version, tensors, keys)
    return head + text("general.architecture") + struct.pack("<I", 8) + text("llama") + extra


def read(tmp_path: Path, data: bytes) -> gguf.Header:
    place = tmp_path / "model.gguf"
    place.write_bytes(data)
    return gguf.read(place)


def test_real_model_is_described(model: Path) -> None:
    header = gguf.read(model)
    assert (header.architecture, header.quantization, header.is_quantized) == ("llama", "Q4_1", True)
    assert len(header.tensors) == 272
    # 30 layers of 3 KV heads of 64 + 64 values of 2 bytes
    assert header.kv_bytes_per_token() == 30 * 3 * 128 * 2
    assert header.chat_template
    assert "im_start" in header.chat_template


def test_tensor_sizes_add_up_to_the_file(model: Path) -> None:
    header = gguf.read(model)
    sizes = {name: (block, size) for name, block, size in gguf.TENSOR_TYPES.values()}
    last = max(header.tensors, key=lambda tensor: tensor.offset)
    block, size = sizes[last.type]
    assert header.data_start + last.offset + last.weights // block * size == model.stat().st_size


@pytest.mark.parametrize("cut", [3, 10, 30, 1000, 1_000_000, 90_000_000])
def test_truncated_model_is_refused_by_name(model: Path, tmp_path: Path, cut: int) -> None:
    with model.open("rb") as stream, pytest.raises(ModelError, match=r"model\.gguf"):
        read(tmp_path, stream.read(cut))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a GGUF file"),
        (b"PK\x03\x04rest", "starts with 'PK"),
        (b"GGUF" + struct.pack("<I", 1), "version 1"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**63, 1), "claims"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 2**40), "claims"),
        (tiny(keys=2, extra=struct.pack("<Q", 2**60)), "claims"),
        (tiny(keys=2, extra=text("k") + struct.pack("<I", 99)), "unknown type 99"),
        (tiny(keys=2, extra=text("k") + struct.pack("<IIQ", 9, 8, 2**50)), "claims"),
        (tiny(keys=2, extra=text("k") + struct.pack("<IIQ", 9, 10, 2**60)), "ends inside"),
        (tiny(keys=2, extra=text("k") + struct.pack("<IIQ", 9, 9, 1)), "array of unknown type 9"),
        (tiny(keys=2, extra=text("general.alignment") + struct.pack("<II", 4, 3)), "power of two"),
        (tiny(tensors=1, extra=text("t") + struct.pack("<I", 9)), "9 dimensions"),
        (tiny(tensors=1, extra=text("t") + struct.pack("<IQIQ", 1, 2**40, 0, 0)), "cut short"),
    ],
)
def test_impossible_headers_are_refused(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        read(tmp_path, data)


def test_mutated_headers_are_answered_quickly_with_a_typed_error_or_a_header(model: Path, tmp_path: Path) -> None:
    with model.open("rb") as stream:
        good = bytearray(stream.read(200_000))
    generator = random.Random(7)
    for _ in range(150):
        data = bytearray(good)
        for _ in range(generator.randint(1, 8)):
            data[generator.randrange(0, 600)] = generator.randrange(256)
        started = time.process_time()
        with pytest.raises(ModelError):  # the data is cut off, so none can be whole
            read(tmp_path, bytes(data))
        assert time.process_time() - started < 5


def test_places_of_keys_cover_the_metadata_and_strings_are_read_from_them(model: Path) -> None:
    places = gguf.spans(model)
    assert places.keys() == gguf.read(model).metadata.keys()
    ordered = list(places.values())
    assert ordered[0].start == 24
    assert all(before.end == after.start for before, after in pairwise(ordered))
    tokens = gguf.strings(model, "tokenizer.ggml.tokens")
    assert len(tokens) == 49152
    assert "<|im_start|>" in tokens
    assert gguf.strings(model, "nothing.of.the.kind") == ()
    with pytest.raises(ModelError, match=r"general\.architecture is not an array of strings"):
        gguf.strings(model, "general.architecture")
