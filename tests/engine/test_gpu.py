"""Which graphics processors there are, and what part of a model they take: numbers, and a made-up list of devices."""

import ctypes
from pathlib import Path
from typing import Any

import pytest

from publicai_edge import gguf
from publicai_edge.engine import gpu
from publicai_edge.engine.gpu import Gpu

MIB, GIB = 1 << 20, 1 << 30


@pytest.fixture(scope="module")
def header(model: Path) -> gguf.Header:
    return gguf.read(model)


@pytest.mark.parametrize(
    ("free", "expected"),
    [
        ([], 0),
        ([0], 0),
        ([100 + 50 + 11], 0),  # the output, and not one layer
        ([100 + 50 + 12], 2),  # the output and one
        ([100 + 50 + 5 * 12 + 11], 6),  # a part
        ([100 + 50 + 10 * 12], 11),  # everything
        ([10_000], 11),
        ([170, 170], 5),  # three layers on the first, one and the output on the second
        ([10_000, 150], 11),  # by free memory the small one gets the output alone
        ([99, 10_000], 0),  # llama.cpp would give the small one a layer that it has no room for
    ],
)
def test_layers_that_fit_go_to_the_graphics_processor(free: list[int], expected: int) -> None:
    found = gpu.layers_on_gpu(free, 10, 10, 2, overhead=100, output_bytes=50)
    assert found == expected


def test_plan_for_a_graphics_processor_follows_its_free_memory(header: gguf.Header) -> None:
    def layers(free: int) -> int:
        return gpu.gpu_plan(header, [Gpu("GPU", free, 8 * GIB)], cells=4096)

    assert gpu.gpu_plan(header, [], cells=4096) == 0
    assert layers(8 * GIB) == 31
    assert layers(100 * MIB) == 0
    found = [layers(free * MIB) for free in range(500, 800, 10)]
    assert found == sorted(found)
    assert any(0 < count < 31 for count in found)


class Library:
    """llama.cpp's list of devices, of a machine that is not here."""

    def __init__(self, *devices: tuple[str, int, int, int]) -> None:
        self.devices = devices

    def ggml_backend_dev_count(self) -> int:
        return len(self.devices)

    def ggml_backend_dev_get(self, index: int) -> int:
        return index

    def ggml_backend_dev_type(self, device: int) -> int:
        return self.devices[device][1]

    def ggml_backend_dev_description(self, device: int) -> bytes:
        return self.devices[device][0].encode()

    def ggml_backend_dev_memory(self, device: int, free: Any, total: Any) -> None:
        pointer = ctypes.POINTER(ctypes.c_size_t)
        ctypes.cast(free, pointer)[0], ctypes.cast(total, pointer)[0] = self.devices[device][2:]


CPU, GPU, INTEGRATED, ACCELERATOR = 0, 1, 2, 3


def test_graphics_processors_are_found_among_the_devices() -> None:
    native = Library(
        ("processor", CPU, 30 * GIB, 32 * GIB),
        ("big", GPU, 7 * GIB, 8 * GIB),
        ("AMX", ACCELERATOR, 0, 0),
        ("on the board", INTEGRATED, 10 * GIB, 32 * GIB),
        ("small", GPU, 2 * GIB, 4 * GIB),
    )
    assert gpu.gpus(native) == (Gpu("big", 7 * GIB, 8 * GIB), Gpu("small", 2 * GIB, 4 * GIB))


def test_integrated_one_is_used_where_there_is_no_other() -> None:
    native = Library(("processor", CPU, 1, 2), ("on the board", INTEGRATED, 10 * GIB, 32 * GIB))
    assert gpu.gpus(native) == (Gpu("on the board", 10 * GIB, 32 * GIB, integrated=True),)


def test_real_library_lists_its_devices_and_its_processor_is_no_graphics_processor() -> None:
    native = gpu._ggml()
    kinds = {native.ggml_backend_dev_type(native.ggml_backend_dev_get(0))}
    assert native.ggml_backend_dev_count() >= 1
    if kinds == {CPU}:
        assert gpu.gpus() == ()
    else:
        assert all(found.total >= found.free > 0 for found in gpu.gpus())


@pytest.mark.parametrize(
    ("engine", "there", "told"),
    [
        ("llama", gpu.Offer(supported=False, names=()), "built without support for any"),
        ("llama", gpu.Offer(supported=True, names=()), "finds none on this machine"),
        ("onnx", gpu.Offer(supported=True, names=("One",)), "in ONNX"),
    ],
)
def test_layers_asked_for_in_vain_are_told_of(engine: Any, there: gpu.Offer, told: str) -> None:
    words = gpu.in_vain(8, engine, there)
    assert words
    assert words.startswith("Asked for: 8 layers on a graphics processor. But ")
    assert told in words
    assert words.endswith("So all of it runs on the processor, as without --gpu-layers.")
    assert gpu.in_vain(0, engine, there) is None


def test_where_there_is_one_nothing_is_told() -> None:
    assert gpu.in_vain(8, "llama", gpu.Offer(supported=True, names=("One",))) is None


def test_what_there_is_is_looked_at_elsewhere() -> None:
    found = gpu.offer()
    assert found.supported or not found.names
