"""The folder the converter is given: only files it may read, under a name that ends up in the model.

Invariant: no code and no pickle is among them. The converter would load both (``torch.load``, ``trust_remote_code``).
"""

import json
import re
from pathlib import Path
from typing import Any

from publicai_edge import atomic
from publicai_edge.convert import source_folder
from publicai_edge.errors import ModelError

_READ = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "chat_template*",
    "preprocessor_config.json",
    "modules.json",
    "*_Pooling/config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "README.md",
)
_TOKENIZERS = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
)
_MAX_README = 1 << 20
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def check(folder: Path) -> dict[str, Any]:
    """Return ``config.json`` if the folder holds a whole model.

    Raises:
        ModelError: a file is missing, cut short or of a kind that is refused.
    """
    config = source_folder.read_config(folder)
    source_folder.check_weights(folder)
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ModelError(
            f"{folder} has no tokenizer: expected one of {', '.join(_TOKENIZERS)}.",
            hint="Fetch the whole repository of the model, not the weights alone.",
        )
    if not config.get("architectures"):
        raise ModelError(
            f"{folder / 'config.json'} names no architecture; expected a list like "
            '"architectures": ["LlamaForCausalLM"].',
            hint="Fetch config.json from the model's repository again.",
        )
    if not source_folder.is_causal(config):
        source_folder.check_modules(folder)
    return config


def architecture(config: dict[str, Any]) -> str:
    """Return the class the configuration names, such as ``LlamaForCausalLM``."""
    named = config.get("architectures")
    return str(named[0]) if isinstance(named, list) and named else ""


def stable_name(folder: Path, config: dict[str, Any]) -> str:
    """Return a name for the model that does not depend on where the folder lies.

    The configuration's own, where it has one (``_name_or_path``), else its kind and its size: ``llama-135M``.
    """
    stated = str(config.get("_name_or_path") or "").rstrip("/").rsplit("/", 1)[-1]
    if stated and not stated.startswith("."):
        return clean_name(stated)
    weights = source_folder.parameters(folder)
    size = f"{weights / 1e9:.1f}B" if weights >= 1e9 else f"{weights / 1e6:.0f}M"  # noqa: PLR2004
    return clean_name(f"{config.get('model_type', 'model')}-{size}")


def clean_name(name: str) -> str:
    """Return a name that can be a file's."""
    return _UNSAFE.sub("-", name).strip("-.")[:100] or "model"


def stage(source: Path, target: Path) -> None:
    """Make ``target`` a folder of links to what the converter may read in ``source``."""
    with atomic.host_errors("write", target):
        for pattern in _READ:
            for path in sorted(source.glob(pattern)):
                if not path.is_file() or (path.name == "README.md" and path.stat().st_size > _MAX_README):
                    continue
                link = target / path.relative_to(source)
                if path.suffix in source_folder.PICKLES or path.suffix == ".py" or link.exists():
                    continue
                link.parent.mkdir(parents=True, exist_ok=True)
                if path.name == "config.json" and path.parent == source:
                    link.write_text(json.dumps(_without_code(json.loads(path.read_text("utf-8")))), "utf-8")
                else:
                    link.symlink_to(path.resolve())


def _without_code(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "auto_map"}
