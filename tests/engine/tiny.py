"""A tiny model with known random weights, and experts: small enough to compute by hand what flows into it."""

from pathlib import Path

import numpy as np

from publicai_edge import gguf
from publicai_edge.gguf import write as gguf_bytes

WIDTH, HIDDEN, EXPERTS, USED, HEADS, CONTEXT = 256, 256, 4, 2, 4, 256  # rows that K and IQ types can pack
EPSILON = 1e-5


def write(path: Path, donor: Path) -> dict[str, np.ndarray]:
    """Write one block of a mixture of experts with the donor's tokenizer; return the weights, (rows, columns)."""
    words = _words(donor)
    rng = np.random.default_rng(7)
    half = WIDTH // HEADS
    shapes = {
        "token_embd.weight": (words, WIDTH),
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.attn_q.weight": (WIDTH, WIDTH),
        "blk.0.attn_k.weight": (half, WIDTH),
        "blk.0.attn_v.weight": (half, WIDTH),
        "blk.0.attn_output.weight": (WIDTH, WIDTH),
        "blk.0.ffn_norm.weight": (WIDTH,),
        "blk.0.ffn_gate_inp.weight": (EXPERTS, WIDTH),
        "blk.0.ffn_gate_exps.weight": (EXPERTS, HIDDEN, WIDTH),
        "blk.0.ffn_up_exps.weight": (EXPERTS, HIDDEN, WIDTH),
        "blk.0.ffn_down_exps.weight": (EXPERTS, WIDTH, HIDDEN),
        "output_norm.weight": (WIDTH,),
    }
    weights = {name: rng.standard_normal(shape, np.float32) * np.float32(0.3) for name, shape in shapes.items()}
    numbers = {
        "block_count": 1,
        "context_length": CONTEXT,
        "embedding_length": WIDTH,
        "feed_forward_length": HIDDEN,
        "attention.head_count": HEADS,
        "attention.head_count_kv": 1,
        "rope.dimension_count": half,
        "expert_count": EXPERTS,
        "expert_used_count": USED,
        "vocab_size": words,
    }
    raw = donor.read_bytes()[: 16 << 20]
    entries = [
        gguf_bytes.entry("general.architecture", "llama"),
        *(gguf_bytes.entry(f"llama.{key}", value) for key, value in numbers.items()),
        gguf_bytes.entry("llama.attention.layer_norm_rms_epsilon", EPSILON),
        *(raw[span.start : span.end] for key, span in gguf.spans(donor).items() if key.startswith("tokenizer.")),
    ]
    weights["token_embd.weight"] = weights["token_embd.weight"].astype("<f2")
    tensors = [
        (name, values.shape[::-1], "F16" if values.dtype == np.float16 else "F32", values.tobytes())
        for name, values in weights.items()
    ]
    path.write_bytes(gguf_bytes.file(entries, tensors))
    return weights


def _words(donor: Path) -> int:
    header = gguf.read(donor)
    return next(tensor.dimensions[1] for tensor in header.tensors if tensor.name == "token_embd.weight")
