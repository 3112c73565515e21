"""What a model takes of memory, checked against what llama.cpp really takes; refusals, with numbers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from publicai_edge import gguf
from publicai_edge.engine import fit
from publicai_edge.engine.fit import Need
from publicai_edge.errors import HostError

MIB = 1 << 20

LOADED = """
import ctypes, json, sys
from publicai_edge.engine import lowlevel
from publicai_edge.host import peak_rss_bytes
llama, sizes = lowlevel.load(), {}

def keep(_level, text, _data):
    text = text.decode()
    for name in ("KV", "compute", "output"):
        if f"{name} buffer size =" in text and "~" not in text:
            sizes[name] = float(text.split("=")[1].split("MiB")[0])

callback = llama.llama_log_callback(keep)
llama.llama_log_set(callback, ctypes.c_void_p(0))
llama.llama_backend_init()
model = llama.llama_model_load_from_file(sys.argv[1].encode(), llama.llama_model_default_params())
params = llama.llama_context_default_params()
params.n_ctx, batch, params.n_seq_max = map(int, sys.argv[2:5])
params.n_batch = params.n_ubatch = batch
params.n_outputs_max, params.kv_unified = params.n_seq_max, True
params.n_threads = params.n_threads_batch = 2
context = llama.llama_init_from_model(model, params)
tokens = (ctypes.c_int32 * batch)(*range(100, 100 + batch))
assert llama.llama_decode(context, llama.llama_batch_get_one(tokens, batch)) == 0
print(json.dumps({**sizes, "peak": peak_rss_bytes()}))
"""


@pytest.fixture(scope="module")
def header(model: Path) -> gguf.Header:
    return gguf.read(model)


@pytest.mark.parametrize(("cells", "batch", "slots"), [(1024, 512, 2), (8192, 256, 8)])
def test_estimate_is_above_what_llama_takes_and_not_by_much(
    model: Path, header: gguf.Header, cells: int, batch: int, slots: int
) -> None:
    command = [sys.executable, "-c", LOADED, str(model), str(cells), str(batch), str(slots)]
    real = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout)
    need = fit.need(header, cells=cells, batch=batch, outputs=slots)
    assert need.cache == pytest.approx(real["KV"] * MIB, abs=MIB / 50)
    buffers = (real["compute"] + real["output"]) * MIB
    assert buffers <= need.compute <= 1.8 * buffers
    assert need.weights == model.stat().st_size
    assert real["peak"] <= need.total <= 1.6 * real["peak"]


def test_cache_of_a_quantized_type_takes_its_blocks(header: gguf.Header) -> None:
    values = 30 * 3 * 64 * 2
    assert fit.kv_bytes_per_cell(header) == values * 2
    assert fit.kv_bytes_per_cell(header, "f32") == values * 4
    assert fit.kv_bytes_per_cell(header, "q8_0") == values * 34 // 32


def plan(slots: int, available: int) -> fit.Plan:
    """A model of 600 MiB whose slots take 100 MiB each."""
    return fit.plan(
        lambda cells: Need(500 * MIB, cells * MIB // 10, 50 * MIB, 50 * MIB),
        lambda count: 1000 * count,
        slots=slots,
        name="model.gguf",
        available=available,
    )


@pytest.mark.parametrize(("available", "slots"), [(1000, 4), (999, 3), (800, 2), (700, 1)])
def test_slots_are_lowered_to_what_fits_and_it_is_said(available: int, slots: int) -> None:
    made = plan(4, available * MIB)
    assert (made.slots, made.cells) == (slots, 1000 * slots)
    assert made.need.total <= available * MIB
    if slots == 4:
        assert made.facts() == {"slots": 4, "memory_needed": 1000 * MIB}
    else:
        assert made.note == f"{slots} of 4 slots: 4 would take 1,000 MiB of memory, and {available} MiB are free."
        assert made.facts()["slots_note"] == made.note


def test_model_that_does_not_fit_with_one_slot_is_refused_with_every_number() -> None:
    with pytest.raises(HostError) as caught:
        plan(4, 699 * MIB)
    assert caught.value.message == (
        "model.gguf does not fit this machine's memory: weights 500 MiB, KV cache 100 MiB, buffers 50 MiB and the "
        "program 50 MiB make 700 MiB, with 1,000 tokens of context for one conversation and the shared prompts; "
        "699 MiB are free."
    )
    assert caught.value.hint == (
        "Lower the context: about 990 tokens with the shared prompts would fit. "
        "Or choose a smaller model or quantize.type."
    )
    assert caught.value.facts["needed"] == 700 * MIB
    assert caught.value.facts["available"] == 699 * MIB


def test_model_whose_weights_alone_do_not_fit_is_not_helped_by_a_smaller_context() -> None:
    with pytest.raises(HostError) as caught:
        plan(1, 400 * MIB)
    assert caught.value.hint == "Choose a smaller model or quantize.type, or free some memory."


def test_machine_that_does_not_say_its_memory_refuses_nothing() -> None:
    assert plan(4, 0).slots == 4


def test_real_model_is_refused_on_a_machine_too_small_and_fits_this_one(header: gguf.Header) -> None:
    need = fit.need(header, cells=2048)
    fit.check(need, name="smollm2.gguf", cells=2048)
    with pytest.raises(HostError, match=r"smollm2\.gguf does not fit .* 64 MiB are free"):
        fit.check(need, name="smollm2.gguf", cells=2048, available=64 * MIB)


def test_sizes_of_layers_and_output_make_the_file(model: Path, header: gguf.Header) -> None:
    sizes = fit.layer_sizes(header)
    assert len(sizes.layers) == 30
    assert sizes.tied  # the output is the token table
    assert sum(sizes.layers) + sizes.output == pytest.approx(model.stat().st_size, rel=0.03)


def test_part_that_is_offloaded_does_not_count_in_the_machines_memory(header: gguf.Header) -> None:
    whole = fit.need(header, cells=3000)
    part = fit.need(header, cells=3000, gpu_layers=16)
    everything = fit.need(header, cells=3000, gpu_layers=31)
    sizes = fit.layer_sizes(header)
    assert whole.weights - part.weights == sum(sizes.layers[15:])
    assert part.cache == whole.cache / 2
    assert everything.cache == 0
    assert everything.weights >= sizes.output  # the tied token table stays
