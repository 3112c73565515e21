"""What a model costs, counted by hand."""

from publicai_edge import gguf
from publicai_edge.plan.cost import FAMILIES, cost_of
from tests.plan.cases import HIDDEN, LAYERS, WIDTH, WORDS, header

MATRICES = LAYERS * (WIDTH * WIDTH + WIDTH * HIDDEN)


def test_a_token_reads_every_weight_once() -> None:
    found = cost_of(header())
    assert found.bytes_read == {"F16": 2 * (MATRICES + WIDTH * WORDS) + 4 * WIDTH}, "the table is the output too"
    assert found.weights_used == {"F16": MATRICES}, "of a prompt only the last token needs the output"
    assert (found.layers, found.width) == (LAYERS, WIDTH)
    assert found.look_back == 2 * LAYERS * WIDTH * 2, "keys and values, a multiplication and an addition each"


def test_a_table_beside_an_output_of_its_own_is_looked_up_and_not_read() -> None:
    assert cost_of(header(output=True)).bytes_read == cost_of(header()).bytes_read
    assert cost_of(header(output=True)).looked_up == 2 * WIDTH * WORDS
    assert cost_of(header()).looked_up == 0


def test_planned_types_take_the_place_of_the_files() -> None:
    names = [tensor.name for tensor in header().tensors if len(tensor.dimensions) > 1]
    found = cost_of(header(), {**dict.fromkeys(names, "Q4_0"), "token_embd.weight": "Q6_K"})
    assert found.bytes_read == {
        "Q4_0": MATRICES / 32 * 18,
        "Q6_K": WIDTH * WORDS / 256 * 210,
        "F16": 4 * WIDTH,
    }


def test_of_experts_those_that_a_token_uses_count() -> None:
    found = header(expert_count=8, expert_used_count=2)
    experts = gguf.Tensor("blk.0.ffn_up_exps.weight", (WIDTH, HIDDEN, 8), "F16", 0)
    with_experts = gguf.Header(found.path, 3, found.metadata, (*found.tensors, experts), 0)
    more = cost_of(with_experts).weights_used["F16"] - cost_of(found).weights_used["F16"]
    assert more == WIDTH * HIDDEN * 2


def test_every_type_belongs_to_a_family() -> None:
    for name, _, _ in gguf.TENSOR_TYPES.values():
        if not name.startswith("I") or name.startswith("IQ"):
            assert set(cost_of(header(name)).bytes_read) <= set(FAMILIES)
