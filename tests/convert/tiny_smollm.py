"""A Llama of two layers and random weights with SmolLM2's real tokenizer, which llama.cpp's converter knows."""

import json
from pathlib import Path

import numpy as np

from tests.convert import dequantized

_SIZES = {
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
}


def write(smollm2: Path, folder: Path, *, shards: int = 1) -> Path:
    """Write the model to ``folder`` in Hugging Face layout, 16 bits; ``smollm2`` is the GGUF that has the tokenizer."""
    from safetensors.numpy import save_file

    metadata = dequantized.read_gguf(smollm2).metadata
    folder.mkdir(parents=True)
    for name, value in {
        "config.json": {**dequantized._config(metadata, "F16"), **_SIZES},
        "tokenizer_config.json": dequantized._tokenizer_config(metadata),
        "special_tokens_map.json": dequantized._special_names(metadata),
    }.items():
        (folder / name).write_text(json.dumps(value, ensure_ascii=False), "utf-8")
    dequantized._save_tokenizer(metadata, folder / "tokenizer.json")
    weights = _weights(metadata["llama.vocab_size"])
    if shards == 1:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return folder
    names = sorted(weights)
    files = [f"model-{number:05}-of-{shards:05}.safetensors" for number in range(1, shards + 1)]
    places = {name: files[index * shards // len(names)] for index, name in enumerate(names)}
    for file in files:
        save_file({name: weights[name] for name in names if places[name] == file}, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return folder


def _weights(vocabulary: int) -> dict[str, "np.ndarray"]:
    random = np.random.default_rng(7)
    width, inner, half = _SIZES["hidden_size"], _SIZES["intermediate_size"], _SIZES["hidden_size"] // 2
    shapes = {"model.embed_tokens": (vocabulary, width), "model.norm": (width,)}
    for layer in range(_SIZES["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.{name}": (width,) for name in ("input_layernorm", "post_attention_layernorm")}
        shapes |= {f"{at}.self_attn.{name}_proj": (width, width) for name in "qo"}
        shapes |= {f"{at}.self_attn.{name}_proj": (half, width) for name in "kv"}
        shapes |= {f"{at}.mlp.{name}_proj": (inner, width) for name in ("gate", "up")}
        shapes[f"{at}.mlp.down_proj"] = (width, inner)
    return {
        f"{name}.weight": (np.ones(shape) if len(shape) == 1 else random.normal(0, 0.1, shape)).astype(np.float16)
        for name, shape in shapes.items()
    }
