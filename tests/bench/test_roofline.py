"""What a token costs, computed by hand for small headers; and the shares of what a machine allows."""

from pathlib import Path

import pytest

from publicai_edge import gguf
from publicai_edge.bench.result import Work
from publicai_edge.bench.roofline import shares, work_at, work_of
from tests.bench.cases import run

META = {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
}


def header(tensors: dict[str, tuple[tuple[int, ...], str]], **more: int) -> gguf.Header:
    made = tuple(gguf.Tensor(name, shape, kind, 0) for name, (shape, kind) in tensors.items())
    return gguf.Header(Path("m.gguf"), 3, {**META, **{f"llama.{key}": value for key, value in more.items()}}, made, 0)


def test_a_tied_table_is_read_whole_and_one_of_its_own_only_looked_up() -> None:
    layer = {"blk.0.attn_q.weight": ((64, 64), "Q4_0"), "blk.0.attn_norm.weight": ((64,), "F32")}
    tied = work_of(header({"token_embd.weight": ((64, 1000), "Q8_0"), **layer}))
    assert tied.bytes_per_token == 64 * 1000 // 32 * 34 + 64 * 64 // 32 * 18 + 64 * 4
    assert tied.operations_per_token == 2 * 64 * 64
    own = work_of(header({"token_embd.weight": ((64, 1000), "Q8_0"), "output.weight": ((64, 1000), "Q6_K"), **layer}))
    assert own.bytes_per_token == 64 * 1000 // 256 * 210 + 64 * 64 // 32 * 18 + 64 * 4
    assert own.operations_per_token == tied.operations_per_token
    assert own.cache_bytes_per_position == 2 * 2 * 16 * 2
    assert own.operations_per_position == 2 * 4 * 2 * 16


def test_of_experts_those_that_are_used_count() -> None:
    tensors = {"token_embd.weight": ((64, 10), "F16"), "blk.0.ffn_up_exps.weight": ((64, 32, 8), "F16")}
    found = work_of(header(tensors, expert_count=8, expert_used_count=2))
    assert found.bytes_per_token == 64 * 10 * 2 + 64 * 32 * 2 * 2
    assert found.operations_per_token == 2 * 64 * 32 * 2


def test_a_prompt_reads_the_weights_once_and_a_written_token_each_time() -> None:
    work = Work(1000, 10, 500, 4)
    assert work_at(work, "decode@0") == (1000, 500)
    assert work_at(work, "decode@100") == (2000, 900)
    assert work_at(work, "prefill@100") == (10, 700)
    assert work_at(work, "patrons@4") is None
    assert work_at(Work(), "decode@0") is None


def test_shares_are_of_memory_for_writing_and_of_arithmetic_for_reading() -> None:
    found = {share.figure: share for share in shares(run(noise=0.0001))}
    assert set(found) == {"decode@0", "prefill@512", "decode@512"}
    assert found["decode@0"].limit == pytest.approx(20e9 / 80e6, rel=0.01)
    assert str(found["decode@0"]) == "decode@0 reaches 40% of what this machine's memory bandwidth allows"
    assert found["prefill@512"].limit == pytest.approx(150e9 / (220e6 + 70e3 * 256), rel=0.01)
    assert not shares(run(work=Work()))
