"""The folder of a chat model in ONNX: which of its files are read, and what they say.

It holds ``model.onnx`` (with its weights inside, or in a file beside it that the graph names), ``tokenizer.json`` and
``config.json``; and where they are needed ``tokenizer_config.json``, ``chat_template.jinja``,
``generation_config.json`` and ``genai_config.json``. They come from strangers: sizes are bounded, and what is not of
the expected type counts as not there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from publicai_edge.engine import settings_file
from publicai_edge.errors import ModelError

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "genai_config.json",
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)

_MAX_CONFIG = 16 << 20
_MAX_TEMPLATE = 1 << 20
_HINT = "Copy the folder again, or make it with `publicai-edge convert`."


@dataclass(frozen=True)
class ChatFolder:
    """A model's folder, with its small files read."""

    path: Path
    config: dict[str, Any]
    generation: dict[str, Any]
    tokenizer: dict[str, Any]
    genai: dict[str, Any] | None
    template: str | None

    @staticmethod
    def open(path: Path) -> "ChatFolder":
        """Read the folder at ``path``.

        Raises:
            ModelError: it lacks a file it cannot do without, or one is not JSON.
        """
        for name in (MODEL_FILE, TOKENIZER_FILE, "config.json"):
            if not (path / name).is_file():
                raise ModelError(f"The ONNX model in {path} lacks {name}.", hint=_HINT, path=str(path))
        tokenizer = _read(path / "tokenizer_config.json") or {}
        genai = _read(path / "genai_config.json")
        return ChatFolder(
            path=path,
            config=_read(path / "config.json") or {},
            generation=_read(path / "generation_config.json") or {},
            tokenizer=tokenizer,
            genai=genai,
            template=_template(path, tokenizer),
        )

    @property
    def architecture(self) -> str:
        """``model_type`` of the configuration."""
        return str(self.config.get("model_type", "unknown"))

    @property
    def context_trained(self) -> int | None:
        """Tokens the model was trained for."""
        value = self.config.get("max_position_embeddings")
        return value if isinstance(value, int) and value > 0 else None

    @property
    def cache_bytes_per_token(self) -> int:
        """What one token takes in the cache, in 32 bits; 0 where the configuration does not tell."""
        names = ("num_hidden_layers", "num_attention_heads", "hidden_size")
        layers, heads, width = (value if isinstance(value := self.config.get(name), int) else 0 for name in names)
        kv_heads = self.config.get("num_key_value_heads")
        each = self.config.get("head_dim")
        each = each if isinstance(each, int) else width // max(1, heads)
        return layers * (kv_heads if isinstance(kv_heads, int) else heads) * each * 2 * 4

    @property
    def grows_in_place(self) -> bool:
        """Whether the graph may write its cache where it reads it, as onnxruntime-genai's builder makes them."""
        search = (self.genai or {}).get("search")
        return isinstance(search, dict) and search.get("past_present_share_buffer") is True

    def end_ids(self) -> Iterator[int]:
        """Yield the ids of tokens that the configurations say end an answer."""
        for source in (self.generation, self.config):
            value = source.get("eos_token_id")
            yield from (item for item in (value if isinstance(value, list) else [value]) if isinstance(item, int))

    def special(self, name: str) -> str | None:
        """Return the text of a special token such as ``bos_token``, written as text or as an object."""
        value = self.tokenizer.get(name)
        if isinstance(value, dict):
            value = value.get("content")
        return value if isinstance(value, str) else None


def _read(path: Path) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    return settings_file.read(path, _MAX_CONFIG, _HINT)


def _template(path: Path, tokenizer: dict[str, Any]) -> str | None:
    """Return the chat template: a file of its own, or the tokenizer's; of several, the one called ``default``."""
    place = path / "chat_template.jinja"
    if place.is_file():
        try:
            with place.open("rb") as stream:
                return stream.read(_MAX_TEMPLATE).decode("utf-8")
        except (OSError, ValueError) as error:
            raise ModelError(f"{place} cannot be read: {error}.", hint=_HINT, path=str(path)) from error
    found = tokenizer.get("chat_template")
    if isinstance(found, list):
        named = [item for item in found if isinstance(item, dict)]
        found = next((item.get("template") for item in named if item.get("name") == "default"), None)
    return found if isinstance(found, str) else None
