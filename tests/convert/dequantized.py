"""A Hugging Face folder of a real causal language model, made from SmolLM2's GGUF.

No registry that the tests can reach carries a causal model in its original form, so the quantized one is written out
as 16 or 32 bits: `config.json`, `tokenizer.json`, `tokenizer_config.json` with the chat template, and safetensors in
one file or in shards. The reader here is its own, so that it can serve as the other side of a comparison.

The tokenizer is built from the GGUF's tokens and merges with the pre-tokenizer its name stands for ("smollm": digits
one by one, then GPT-2's). What transformers itself makes of this GGUF is another tokenizer.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

Precision = Literal["F32", "F16", "BF16"]
Array = npt.NDArray[Any]

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_CONTROL = 3  # llama.cpp's number for a token that is never text
_LAYER_NAMES = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


@dataclass(frozen=True)
class Gguf:
    """A GGUF file's metadata with its arrays, and where its tensors lie: name → (rows first, ggml type, byte)."""

    path: Path
    metadata: dict[str, Any]
    tensors: dict[str, tuple[tuple[int, ...], int, int]] = field(repr=False)

    def tensor(self, name: str) -> Array:
        """Return a tensor in 32 bits, as llama.cpp dequantizes it."""
        shape, kind, offset = self.tensors[name]
        count = int(np.prod(shape))
        return _dequantize(np.memmap(self.path, np.uint8, "r", offset), kind, count).reshape(shape)


def read_gguf(path: Path) -> Gguf:
    """Read a GGUF file of this machine's byte order that is known to be whole."""
    with path.open("rb") as stream:
        assert stream.read(4) == b"GGUF"
        _version, tensors, keys = struct.unpack("<IQQ", stream.read(20))
        metadata = {}
        for _ in range(keys):
            key = _text(stream)
            metadata[key] = _value(stream, *struct.unpack("<I", stream.read(4)))
        found = {}
        for _ in range(tensors):
            name = _text(stream)
            (dimensions,) = struct.unpack("<I", stream.read(4))
            *sizes, kind, offset = struct.unpack(f"<{dimensions}QIQ", stream.read(8 * dimensions + 12))
            found[name] = (tuple(reversed(sizes)), kind, offset)
        start = -(-stream.tell() // 32) * 32
    return Gguf(path, metadata, {name: (shape, kind, start + at) for name, (shape, kind, at) in found.items()})


def _text(stream: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", stream.read(8))
    return stream.read(length).decode()


def _value(stream: BinaryIO, code: int) -> Any:
    if code == 8:
        return _text(stream)
    if code == 9:
        inner, count = struct.unpack("<IQ", stream.read(12))
        return [_value(stream, inner) for _ in range(count)]
    form = "<" + _SCALARS[code]
    return struct.unpack(form, stream.read(struct.calcsize(form)))[0]


def _dequantize(data: Array, kind: int, count: int) -> Array:
    """Return ``count`` weights: F32, F16, Q4_1 (d·q + m) or Q8_0 (d·q), blocks of 32."""
    match kind:
        case 0:
            return np.array(data[: 4 * count].view(np.float32))
        case 1:
            return data[: 2 * count].view(np.float16).astype(np.float32)
        case 3:
            blocks = data[: count // 32 * 20].reshape(-1, 20)
            scale, least = (blocks[:, at : at + 2].copy().view(np.float16).astype(np.float32) for at in (0, 2))
            nibbles = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], axis=1)
            return nibbles.astype(np.float32) * scale + least
        case 8:
            blocks = data[: count // 32 * 34].reshape(-1, 34)
            scale = blocks[:, :2].copy().view(np.float16).astype(np.float32)
            return blocks[:, 2:].copy().view(np.int8).astype(np.float32) * scale
        case 30:
            return (data[: 2 * count].view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    raise NotImplementedError(f"ggml type {kind}")


def hf_folder(gguf_file: Path, folder: Path, *, precision: Precision = "F16", shards: int = 1) -> Path:
    """Write the llama-architecture model of ``gguf_file`` to ``folder`` in Hugging Face layout.

    Args:
        gguf_file: weights in F32, F16, BF16, Q8_0 or Q4_1.
        folder: made; its name says nothing about the model.
        precision: how the matrices are stored. F16 is what llama.cpp's own dequantization to F16 gives.
        shards: into how many safetensors files the weights are split.
    """
    source = read_gguf(gguf_file)
    folder.mkdir(parents=True)
    for name, value in {
        "config.json": _config(source.metadata, precision),
        "generation_config.json": {"_from_model_config": True, **_special_ids(source.metadata)},
        "tokenizer_config.json": _tokenizer_config(source.metadata),
        "special_tokens_map.json": _special_names(source.metadata),
    }.items():
        (folder / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
    _save_tokenizer(source.metadata, folder / "tokenizer.json")
    _save_weights(source, folder, precision, shards)
    return folder


def _config(metadata: dict[str, Any], precision: Precision) -> dict[str, Any]:
    dtype = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}[precision]
    return {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "hidden_act": "silu",
        "hidden_size": metadata["llama.embedding_length"],
        "initializer_range": 0.041666666666666664,
        "intermediate_size": metadata["llama.feed_forward_length"],
        "max_position_embeddings": metadata["llama.context_length"],
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": metadata["llama.attention.head_count"],
        "num_hidden_layers": metadata["llama.block_count"],
        "num_key_value_heads": metadata["llama.attention.head_count_kv"],
        "rms_norm_eps": round(metadata["llama.attention.layer_norm_rms_epsilon"], 9),
        "rope_scaling": None,
        "rope_theta": metadata["llama.rope.freq_base"],
        "tie_word_embeddings": True,
        "torch_dtype": dtype,
        "use_cache": True,
        "vocab_size": metadata["llama.vocab_size"],
        **_special_ids(metadata),
    }


def _special_ids(metadata: dict[str, Any]) -> dict[str, int]:
    names = {"bos_token_id": "bos", "eos_token_id": "eos", "pad_token_id": "padding"}
    return {key: metadata[f"tokenizer.ggml.{name}_token_id"] for key, name in names.items()}


def _special_names(metadata: dict[str, Any]) -> dict[str, str]:
    names = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding", "unk_token": "unknown"}
    tokens = metadata["tokenizer.ggml.tokens"]
    return {key: tokens[metadata[f"tokenizer.ggml.{name}_token_id"]] for key, name in names.items()}


def _tokenizer_config(metadata: dict[str, Any]) -> dict[str, Any]:
    return {
        "add_prefix_space": False,
        "chat_template": metadata["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
        "model_max_length": metadata["llama.context_length"],
        "tokenizer_class": "GPT2Tokenizer",
        **_special_names(metadata),
    }


def _save_tokenizer(metadata: dict[str, Any], path: Path) -> None:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    assert metadata["tokenizer.ggml.pre"] == "smollm"
    tokens, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    merges = [tuple(pair.split(" ")) for pair in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    tokenizer.save(str(path))


def _save_weights(source: Gguf, folder: Path, precision: Precision, shards: int) -> None:
    names = {_hf_name(name): name for name in source.tensors}
    order = sorted(names)
    parts = [order[len(order) * part // shards : len(order) * (part + 1) // shards] for part in range(shards)]
    if shards == 1:
        return _save_safetensors(source, folder / "model.safetensors", names, precision)
    places = {}
    for number, part in enumerate(parts, 1):
        file = f"model-{number:05}-of-{shards:05}.safetensors"
        places.update(dict.fromkeys(part, file))
        _save_safetensors(source, folder / file, {name: names[name] for name in part}, precision)
    size = sum(int(np.prod(shape)) for shape, _, _ in source.tensors.values()) * _BYTES[precision]
    index = {"metadata": {"total_size": size}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    return None


def _hf_name(name: str) -> str:
    if name.startswith("blk."):
        _, layer, part, _ = name.split(".")
        return f"model.layers.{layer}.{_LAYER_NAMES[part]}.weight"
    return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[name]


def _save_safetensors(source: Gguf, path: Path, names: dict[str, str], precision: Precision) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name in sorted(names):
        shape = source.tensors[names[name]][0]
        size = int(np.prod(shape)) * _BYTES[precision]
        header[name] = {"dtype": precision, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        for data in _stored(source, names, precision):
            stream.write(data)


def _stored(source: Gguf, names: dict[str, str], precision: Precision) -> Iterator[bytes]:
    for _, name in sorted(names.items()):
        weights = source.tensor(name)
        for part, key in (("attn_q.weight", "head_count"), ("attn_k.weight", "head_count_kv")):
            if name.endswith(part):
                weights = _unpermute(weights, source.metadata[f"llama.attention.{key}"])
        match precision:
            case "F32":
                yield weights.tobytes()
            case "F16":
                yield weights.astype(np.float16).tobytes()
            case "BF16":
                bits = weights.view(np.uint32)
                yield ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16).tobytes()


def _unpermute(weights: Array, heads: int) -> Array:
    """Undo the order of rows that llama.cpp's rotary embedding wants: pairs side by side instead of halves."""
    rows, columns = weights.shape
    return np.ascontiguousarray(
        weights.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )
