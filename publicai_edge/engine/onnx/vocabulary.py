"""A model's tokens: from text, to bytes, and which of them end an answer. Needs ``tokenizers`` only.

Invariant: content never becomes a control token. Every added token of ``tokenizer.json`` that is not mere white space
counts as one, whatever the file says of it: ``<tool_call>`` is often marked as ordinary there. Where the vocabulary
itself holds such a text as a piece, the content is cut inside it and its halves are tokenized alone.
"""

import json
from functools import cached_property
from typing import Any

from publicai_edge.engine.onnx.folder import TOKENIZER_FILE, ChatFolder
from publicai_edge.errors import EngineError, ModelError

_MAX_BYTES = 64 << 20
_HINT = "Choose a model whose tokenizer.json holds byte-level or SentencePiece tokens, or convert it to GGUF."
# Texts of tokens that end a turn, in models whose configuration names only the end of a document.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "</s>")
_SPACE = "\u2581"  # SentencePiece's visible space


class Vocabulary:
    """The tokens of a chat model in ONNX; what :class:`publicai_edge.engine.chat.ChatFormat` asks of a model.

    Raises:
        ModelError: tokenizer.json is broken, or of a kind whose tokens are no bytes.
    """

    def __init__(self, folder: ChatFolder) -> None:
        from tokenizers import Tokenizer

        self.path = folder.path
        self.chat_template = folder.template
        place = folder.path / TOKENIZER_FILE
        try:
            data = json.loads(_bounded(place))
            self._control = {item["id"]: item["content"] for item in data["added_tokens"] if item["content"].strip()}
            for item in data["added_tokens"]:
                item["special"] = item["id"] in self._control
            self._byte_level = _is_byte_level(data["decoder"])
            self._tokenizer = Tokenizer.from_str(json.dumps(data))
        except ModelError:
            raise
        except Exception as error:  # tokenizers raises plain Exception; the file may hold anything
            raise ModelError(f"{place} is not a tokenizer: {str(error)[:200]}.", hint=_HINT) from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.n_tokens = 1 + max([*self._tokenizer.get_vocab(with_added_tokens=True).values()], default=-1)
        self.bos = self._id(folder.special("bos_token"))
        self.eos = self._id(folder.special("eos_token"))
        self._ends = {self.eos, *folder.end_ids(), *(self._id(text) for text in _TURN_ENDS)} - {-1}
        self._adds_bos = folder.tokenizer.get("add_bos_token")
        self._pieces: dict[int, bytes] = {}

    def tokenize(self, text: str, *, special: bool, begin: bool = False) -> list[int]:
        """Return the tokens of ``text``.

        Args:
            text: any text.
            special: whether text such as ``<|im_start|>`` becomes the control token. Never for content.
            begin: whether the vocabulary's beginning-of-sequence token, if it wants one, comes first.
        """
        clean = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate cannot be handed over
        first = [self.bos] if begin and self.adds_bos else []
        return first + (self._encode(clean, special=True) if special else self._content(clean))

    def _encode(self, text: str, *, special: bool) -> list[int]:
        self._tokenizer.encode_special_tokens = not special
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _content(self, text: str) -> list[int]:
        self._tokenizer.encode_special_tokens = True
        found = self._tokenizer.encode(text, add_special_tokens=False)
        for token, (start, end) in zip(found.ids, found.offsets, strict=True):
            if token in self._control:
                if end - start < 2:  # noqa: PLR2004 - a single character cannot be cut
                    raise EngineError(f"The tokenizer of {self.path.name} makes a control token of one character.")
                middle = (start + end) // 2
                return self._content(text[:middle]) + self._content(text[middle:])
        return list(found.ids)

    def piece(self, token: int) -> bytes:
        """Return the bytes a token stands for in text; control tokens stand for nothing."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = b"" if token in self._control else self._bytes(token)
        return known

    def _bytes(self, token: int) -> bytes:
        text = self._tokenizer.id_to_token(token)
        if text is None:
            return b""  # a row of the output layer that stands for no token
        if self._byte_level:
            table = _byte_table()
            return b"".join(table.get(character, character.encode()) for character in text)
        if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):  # noqa: PLR2004 - a byte: <0xE2>
            return bytes([int(text[3:5], 16)])
        return str(text).replace(_SPACE, " ").encode()

    def token_text(self, token: int) -> str:
        """Return a token's text as the vocabulary writes it, control tokens included; "" for none."""
        return "" if token < 0 else str(self._tokenizer.id_to_token(token) or "")

    @cached_property
    def adds_bos(self) -> bool:
        """Whether the vocabulary wants a beginning-of-sequence token before text."""
        if self.bos < 0:
            return False
        if isinstance(self._adds_bos, bool):
            return self._adds_bos
        return list(self._tokenizer.encode("", add_special_tokens=True).ids[:1]) == [self.bos]

    def ends(self, token: int) -> bool:
        """Say whether a token ends the answer."""
        return token in self._ends

    def _id(self, text: str | None) -> int:
        found = None if text is None else self._tokenizer.token_to_id(text)
        return -1 if found is None else int(found)


def _bounded(place: Any) -> bytes:
    with place.open("rb") as stream:
        data: bytes = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise ValueError(f"it has more than {_MAX_BYTES:,} bytes")
    return data


def _is_byte_level(decoder: Any) -> bool:
    """Whether tokens are written in GPT-2's characters for bytes; else they are SentencePiece's.

    Raises:
        ModelError: they are neither.
    """
    parts = [decoder or {}, *(decoder or {}).get("decoders", [])]
    kinds = {part.get("type") for part in parts}
    if "ByteLevel" in kinds:
        return True
    if kinds & {"Metaspace", "ByteFallback"}:
        return False
    raise ModelError(
        f"tokenizer.json has a decoder of the kind {', '.join(map(str, kinds))}: unknown here.", hint=_HINT
    )


_TABLE: dict[str, bytes] = {}


def _byte_table() -> dict[str, bytes]:
    """Return GPT-2's table (openai/gpt-2, encoder.py): printable bytes are themselves, the rest lie from U+0100 on."""
    if not _TABLE:
        shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
        hidden = [byte for byte in range(256) if byte not in shown]
        _TABLE.update({chr(byte): bytes([byte]) for byte in shown})
        _TABLE.update({chr(0x100 + index): bytes([byte]) for index, byte in enumerate(hidden)})
    return _TABLE
