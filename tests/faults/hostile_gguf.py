"""GGUF files that lie: one for each case that llama.cpp's own ``tests/test-gguf.cpp`` says must be refused, and a
generator of mutations of a whole, tiny model.

The cases are named after that test's; how they are written here is our own.
"""

import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from publicai_edge.gguf import write as gguf_bytes

WIDTH, HIDDEN, LAYERS = 32, 64, 1
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_U32, _I32, _F32, _STRING, _ARRAY = 4, 5, 6, 8, 9


def _text(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<Q", len(data)) + data


def _key(name: str, code: int, value: bytes) -> bytes:
    return _text(name) + struct.pack("<I", code) + value


def _array(name: str, code: int, values: list[bytes]) -> bytes:
    return _key(name, _ARRAY, struct.pack("<IQ", code, len(values)) + b"".join(values))


def _vocabulary() -> list[bytes]:
    """A vocabulary of bytes, three marks, and the control tokens of a chat."""
    words = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "<|im_start|>", "<|im_end|>"]
    kinds = [2, 3, 3, *[6] * 256, 3, 3]
    entry = gguf_bytes.entry
    return [
        entry("tokenizer.ggml.model", "llama"),
        _array("tokenizer.ggml.tokens", _STRING, [_text(word) for word in words]),
        _array("tokenizer.ggml.scores", _F32, [struct.pack("<f", -float(place)) for place in range(len(words))]),
        _array("tokenizer.ggml.token_type", _I32, [struct.pack("<i", kind) for kind in kinds]),
        entry("tokenizer.ggml.bos_token_id", 1),
        entry("tokenizer.ggml.eos_token_id", 2),
        entry("tokenizer.chat_template", TEMPLATE),
    ]


WORDS = 3 + 256 + 2


def _model_keys() -> list[bytes]:
    numbers = {
        "block_count": LAYERS, "context_length": 64, "embedding_length": WIDTH, "feed_forward_length": HIDDEN,
        "attention.head_count": 2, "attention.head_count_kv": 1, "rope.dimension_count": 16, "vocab_size": WORDS,
    }  # fmt: skip
    return [
        gguf_bytes.entry("general.architecture", "llama"),
        *(gguf_bytes.entry(f"llama.{key}", value) for key, value in numbers.items()),
        gguf_bytes.entry("llama.attention.layer_norm_rms_epsilon", 1e-5),
        *_vocabulary(),
    ]


@dataclass(frozen=True)
class Weight:
    """A tensor's header, every field chosen, and its data."""

    name: bytes
    sizes: tuple[int, ...]
    data: bytes
    code: int = 0
    offset: int | None = None
    dimensions: int | None = None

    def header(self, offset: int) -> bytes:
        count = len(self.sizes) if self.dimensions is None else self.dimensions
        sizes = b"".join(struct.pack("<Q", size & (1 << 64) - 1) for size in self.sizes)
        where = offset if self.offset is None else self.offset
        return (
            _text(self.name) + struct.pack("<I", count) + sizes + struct.pack("<iQ", self.code, where & (1 << 64) - 1)
        )


def _weights() -> list[Weight]:
    rng = np.random.default_rng(3)
    half = WIDTH // 2
    shapes = {
        "token_embd.weight": (WIDTH, WORDS), "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.attn_q.weight": (WIDTH, WIDTH), "blk.0.attn_k.weight": (WIDTH, half),
        "blk.0.attn_v.weight": (WIDTH, half), "blk.0.attn_output.weight": (WIDTH, WIDTH),
        "blk.0.ffn_norm.weight": (WIDTH,), "blk.0.ffn_gate.weight": (WIDTH, HIDDEN),
        "blk.0.ffn_up.weight": (WIDTH, HIDDEN), "blk.0.ffn_down.weight": (HIDDEN, WIDTH),
        "output_norm.weight": (WIDTH,),
    }  # fmt: skip
    return [
        Weight(name.encode(), shape, rng.standard_normal(shape, np.float32).tobytes()) for name, shape in shapes.items()
    ]


@dataclass(frozen=True)
class Parts:
    """A GGUF file before it is put together."""

    magic: bytes = b"GGUF"
    version: int = 3
    keys: list[bytes] = field(default_factory=_model_keys)
    weights: list[Weight] = field(default_factory=_weights)
    key_count: int | None = None
    weight_count: int | None = None
    padding: int = 32
    cut: int = 0

    def file(self) -> bytes:
        count = len(self.weights) if self.weight_count is None else self.weight_count
        keys = len(self.keys) if self.key_count is None else self.key_count
        head = self.magic + struct.pack("<IQQ", self.version, count & (1 << 64) - 1, keys & (1 << 64) - 1)
        head += b"".join(self.keys)
        data = b""
        for weight in self.weights:
            head += weight.header(len(data))
            data += weight.data + bytes(-len(weight.data) % self.padding)
        whole = head + bytes(-len(head) % self.padding) + data
        return whole[: len(whole) - self.cut]


def whole() -> bytes:
    """A model of one layer with a vocabulary of bytes, that llama.cpp loads."""
    return Parts().file()


def _first(**changes: object) -> Parts:
    weights = _weights()
    return Parts(weights=[replace(weights[0], **changes), *weights[1:]])  # type: ignore[arg-type]


def _aligned(value: int, code: int = _U32) -> bytes:
    return _key("general.alignment", code, struct.pack("<I", value))


MUST_REFUSE: dict[str, Callable[[], Parts]] = {
    "HEADER_BAD_MAGIC": lambda: Parts(magic=b"FUGG"),
    "HEADER_BAD_VERSION_0": lambda: Parts(version=0),
    "HEADER_BAD_VERSION_1": lambda: Parts(version=1),
    "HEADER_BAD_VERSION_FUTURE": lambda: Parts(version=4),
    "HEADER_BAD_N_KV": lambda: Parts(key_count=-1),
    "HEADER_BAD_N_TENSORS": lambda: Parts(weight_count=-1),
    "KV_BAD_KEY_SIZE": lambda: Parts(keys=[struct.pack("<Q", (1 << 64) - 1) + b"key", *_model_keys()]),
    "KV_EMPTY_KEY": lambda: Parts(keys=[*_model_keys(), _key("", _U32, b"\1\0\0\0")]),
    "KV_BAD_TYPE": lambda: Parts(keys=[*_model_keys(), _key("odd", 13, b"\1")]),
    "KV_BAD_VALUE_SIZE": lambda: Parts(keys=[*_model_keys(), _key("odd", _STRING, struct.pack("<Q", 1 << 62))]),
    "KV_DUPLICATE_KEY": lambda: Parts(keys=[*_model_keys(), _model_keys()[0]]),
    "KV_BAD_ALIGN": lambda: Parts(keys=[*_model_keys(), _aligned(13)]),
    "KV_WRONG_TYPE_ALIGN": lambda: Parts(keys=[*_model_keys(), _aligned(32, _I32)]),
    "TENSORS_BAD_NAME_SIZE": lambda: _first(name=b"t" * 64),
    "TENSORS_BAD_N_DIMS": lambda: _first(dimensions=5),
    "TENSORS_BAD_SHAPE": lambda: _first(sizes=(-1, -1)),
    "TENSORS_NE_TOO_BIG": lambda: _first(sizes=(4 * 0x7FFFFFFF, 4 * 0x7FFFFFFF)),
    "TENSORS_NBYTES_TOO_BIG": lambda: _first(sizes=(1533916890, 1533916890), code=27),
    "TENSORS_NBYTES_PAD_WRAP": lambda: _first(sizes=(4, 1073741823, 1073741825)),
    "TENSORS_BAD_TYPE": lambda: _first(code=43),
    "TENSORS_BAD_OFFSET": lambda: _first(offset=-1),
    "TENSORS_DUPLICATE_NAME": lambda: Parts(weights=[*_weights(), _weights()[-1]]),
    "TENSORS_BAD_ALIGN": lambda: Parts(keys=[*_model_keys(), _aligned(13)], padding=13),
    "TENSORS_INCONSISTENT_ALIGN": lambda: Parts(keys=[*_model_keys(), _aligned(1024)]),
    "DATA_NOT_ENOUGH_DATA": lambda: Parts(cut=1),
    "DATA_BAD_ALIGN": lambda: Parts(keys=[_aligned(0), *_model_keys()]),
    "DATA_INCONSISTENT_ALIGN": lambda: Parts(padding=4, keys=[*_model_keys(), _aligned(2048)]),
    "DATA_MEM_SIZE_OVERFLOW": lambda: Parts(weights=[
        Weight(name, (0x7FFFFFFFFFFFFFC0,), bytes(32), 24) for name in (b"one", b"two")
    ]),
}  # fmt: skip

# Values that sit on the edge of something: of a type, of a sign, of what a size may be.
_EDGES = [0, 1, 2, 7, 12, 13, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40,
          (1 << 63) - 1, 1 << 63, (1 << 64) - 1]  # fmt: skip


def mutations(seed: int, count: int) -> Iterator[bytes]:
    """Yield mutated files, the same for the same seed: bytes, fields, cuts, repeats, in what is before the data."""
    rng = random.Random(seed)
    sources = [whole(), *(make().file() for make in MUST_REFUSE.values())]
    for _ in range(count):
        data = bytearray(sources[0] if rng.random() < 0.8 else rng.choice(sources))
        head = min(len(data), 9000)
        for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
            _mutate(data, head, rng)
        yield bytes(data)


def _mutate(data: bytearray, head: int, rng: random.Random) -> None:
    at = rng.randrange(head)
    match rng.randrange(7):
        case 0:
            data[at : at + 1] = bytes([rng.randrange(256)])
        case 1:
            data[at : at + 1] = bytes([data[at] ^ 1 << rng.randrange(8)]) if at < len(data) else b""
        case 2:
            data[at : at + 4] = struct.pack("<I", rng.choice(_EDGES) & 0xFFFFFFFF)
        case 3:
            data[at : at + 8] = struct.pack("<Q", rng.choice(_EDGES))
        case 4:
            del data[at : at + rng.randrange(1, 64)]
        case 5:
            data[at:at] = data[at : at + rng.randrange(1, 64)]
        case 6:
            del data[at : rng.choice([at + 4, at + 4, len(data)])]
