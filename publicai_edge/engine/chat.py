"""From a conversation to tokens, by the model's own chat template.

The template decides where control tokens go; content never can. Each turn's text is replaced by a placeholder
before the template runs; what comes out is cut at the placeholders; the template's parts are tokenized with control
tokens and the contents without. Text that spells ``<|im_start|>`` is thus ordinary text (ggml-org/llama.cpp#24382
shows what happens otherwise). Some vocabularies do not call the marks of a turn control tokens (Command R's
``<|START_OF_TURN_TOKEN|>`` is one that users defined, and llama.cpp finds those in any text), so content is cut inside
whatever spells such a mark before it is tokenized.

Since content never reaches the template, what it writes depends on the roles alone: it is run once for each sequence
of roles (see :mod:`publicai_edge.engine.template` for what it may use up), and its parts are kept as tokens.

Invariants: no token by which the template marks a turn is in the tokens of a content, or of a prompt to go on from.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from publicai_edge import digest
from publicai_edge.engine import template
from publicai_edge.engine.protocol import ChatMessage, ChatRequest
from publicai_edge.errors import ModelError

_OPEN, _CLOSE = "\ue0f0", "\ue0f1"  # private-use characters; removed from contents, so they cannot be forged
_PLACEHOLDER = re.compile(f"{_OPEN}([0-9]{{1,6}}){_CLOSE}")
_MARK = re.compile(r"[<\[|].+[>\]|]", re.DOTALL)  # what a token of the template looks like that marks something
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")  # a single byte, as SentencePiece vocabularies write it: no mark of anything
_PIPED = r"<\|[^<>|\s]{1,64}\|?>|<[^<>|\s]{1,64}\|>"  # <|…|>, <|…> and <…|>: marks in every vocabulary that has them
_MOST_REPEATS = 4  # a template that writes a turn more often than that multiplies what a patron typed
_AHEAD = 4  # questions rendered in advance, so that a conversation does not start a process with each one
_MOST_PLANS = 64


@dataclass(frozen=True)
class Run:
    """A passage's tokens in a prompt, from ``start`` to ``end``; ``sha256`` is its text's, in hexadecimal."""

    start: int
    end: int
    sha256: str


@dataclass(frozen=True)
class Prompt:
    """A conversation in tokens; ``shared`` counts the first ones, which come before any patron's words.

    ``runs`` are the passages in it, in order: their tokens depend on their own texts alone.
    """

    tokens: tuple[int, ...]
    shared: int
    runs: tuple[Run, ...] = ()


class Vocabulary(Protocol):
    """What is needed of a model: its tokenizer and its template."""

    @property
    def path(self) -> Path:
        """Where the model lies; for messages."""
        ...

    @property
    def chat_template(self) -> str | None:
        """The template's source (Jinja), or None."""
        ...

    @property
    def bos(self) -> int:
        """The beginning-of-sequence token, or -1."""
        ...

    @property
    def eos(self) -> int:
        """The end-of-sequence token, or -1."""
        ...

    @property
    def adds_bos(self) -> bool:
        """Whether the vocabulary wants a beginning-of-sequence token before text."""
        ...

    def token_text(self, token: int) -> str:
        """Return a token's text as the vocabulary writes it; "" for none."""
        ...

    def tokenize(self, text: str, *, special: bool, begin: bool = False) -> list[int]:
        """Return the tokens of a text; only with ``special`` does ``<|im_start|>`` become a control token."""
        ...


@dataclass(frozen=True)
class _Plan:
    """What the template makes of a sequence of roles: ``parts[0] turns[0] parts[1] … parts[-1]``, parts in tokens."""

    parts: tuple[tuple[int, ...], ...]
    turns: tuple[int, ...]


class ChatFormat:
    """Turns conversations into the tokens one model expects; several threads may use it at once.

    Raises:
        ModelError: the model has no chat template.
    """

    def __init__(self, model: Vocabulary) -> None:
        self._model = model
        source = model.chat_template
        if not source:
            raise ModelError(
                f"{model.path} carries no chat template: it is a base model, not one that answers questions.",
                hint="Choose the model's -Instruct or -Chat variant.",
                path=str(model.path),
            )
        self._source = source
        self._plans: OrderedDict[tuple[str, ...], _Plan | ModelError] = OrderedDict()
        self._marks: dict[int, str] = {}
        self._spelled = re.compile(_PIPED)
        self._lock = threading.Lock()

    def encode_request(self, request: ChatRequest) -> Prompt:
        """Return the tokens of a request: of its conversation, or of its prompt as plain text.

        Raises:
            ModelError: as :meth:`encode`; or the prompt is empty. Its fact ``parameter`` says which part is at fault.
        """
        if request.prompt is None:
            try:
                return self.encode(request.messages)
            except ModelError as error:
                raise ModelError(error.message, hint=error.hint, parameter="messages") from error
        if not self._marks:
            with suppress(ModelError):  # a template that takes no such conversation has marks to show in another
                self._plan(("user",))
        model = self._model
        first = [model.bos] if model.adds_bos and model.bos >= 0 else []
        tokens = (*first, *self._content(request.prompt))
        if not tokens:
            raise ModelError("The prompt is empty: there is nothing to go on from.", parameter="prompt")
        return Prompt(tokens, 0)

    def encode(self, messages: Sequence[ChatMessage]) -> Prompt:
        """Return the tokens of a conversation that ends where the answer begins.

        Raises:
            ModelError: the template refuses the conversation, drops a turn, cannot run, or takes too much to run.
        """
        plan = self._plan(tuple(message.role for message in messages))
        tokens = list(plan.parts[0])
        shared = 0
        runs: list[Run] = []
        for turn, part in zip(plan.turns, plan.parts[1:], strict=True):
            if messages[turn].role != "system" and not shared:
                shared = len(tokens)
            self._add_turn(messages[turn], tokens, runs)
            tokens += part
        return Prompt(tuple(tokens), shared, tuple(runs))

    def _add_turn(self, message: ChatMessage, tokens: list[int], runs: list[Run]) -> None:
        """Add a turn's tokens, and where its passages are among them."""
        content, at = message.content, 0
        for start, end in message.passages:
            before = _without_placeholders(content[at:start])
            tokens += self._content(before if at else before.lstrip())
            begun = len(tokens)
            tokens += self._content(_without_placeholders(content[start:end]))
            runs.append(Run(begun, len(tokens), passage_digest(content[start:end])))
            at = end
        rest = _without_placeholders(content[at:])
        tokens += self._content(rest.rstrip() if at else rest.strip())

    def shared_prefix(self, system: str) -> tuple[int, ...]:
        """Return the tokens every conversation under this system prompt starts with."""
        prompt = self.encode([ChatMessage("system", system), ChatMessage("user", "?")])
        return prompt.tokens[: prompt.shared]

    def bare_prefix(self) -> tuple[int, ...]:
        """Return the tokens every conversation without a system prompt starts with; many templates add their own.

        Raises:
            ModelError: the template wants a system prompt.
        """
        prompt = self.encode([ChatMessage("user", "?")])
        return prompt.tokens[: prompt.shared]

    def _plan(self, roles: tuple[str, ...]) -> _Plan:
        with self._lock:
            if roles not in self._plans:
                self._make_plans(roles)
            self._plans.move_to_end(roles)
            plan = self._plans[roles]
        if isinstance(plan, ModelError):
            raise ModelError(plan.message, hint=plan.hint)  # a new one: each raising adds to an error's traceback
        return plan

    def _make_plans(self, roles: tuple[str, ...]) -> None:
        """Run the template for these roles and for the questions that may follow."""
        model = self._model
        ahead = [roles + ("assistant", "user") * more for more in range(_AHEAD, -1, -1)]
        wanted = [item for item in ahead if item not in self._plans]
        rendered = template.render(
            self._source,
            [[{"role": role, "content": f"{_OPEN}{i}{_CLOSE}"} for i, role in enumerate(item)] for item in wanted],
            bos=model.token_text(model.bos),
            eos=model.token_text(model.eos),
            where=str(model.path),
        )
        for item, text in zip(wanted, rendered, strict=True):
            try:
                self._plans[item] = text if isinstance(text, ModelError) else self._read(item, text)
            except ModelError as error:
                self._plans[item] = error
        while len(self._plans) > _MOST_PLANS:
            self._plans.popitem(last=False)

    def _read(self, roles: tuple[str, ...], text: str) -> _Plan:
        """Cut what the template wrote at the placeholders, and see that every turn is there."""
        model = self._model
        bos = model.token_text(model.bos)
        if model.adds_bos and bos and text.startswith(bos):
            text = text[len(bos) :]  # the tokenizer adds it itself
        pieces = _PLACEHOLDER.split(text)
        turns = tuple(int(piece) for piece in pieces[1::2])
        if missing := sorted(set(range(len(roles))) - set(turns)):
            names = ", ".join(roles[turn] for turn in missing[:8])
            raise ModelError(f"The chat template of {model.path} leaves out a turn by: {names}.")
        if len(turns) > _MOST_REPEATS * len(roles) or max(turns, default=0) >= len(roles):
            raise ModelError(f"The chat template of {model.path} writes turns that are not there, or again and again.")
        parts = [
            model.tokenize(piece, special=True, begin=index == 0) if piece or index == 0 else []
            for index, piece in enumerate(pieces[::2])
        ]
        for piece, tokens in zip(pieces[::2], parts, strict=True):
            self._learn_marks(piece, tokens)
        return _Plan(tuple(map(tuple, parts)), turns)

    def _learn_marks(self, piece: str, tokens: Sequence[int]) -> None:
        """Remember the tokens by which the template marks turns: control tokens, and those that look like them."""
        model = self._model
        plain = set(model.tokenize(piece, special=False)) if piece else set()
        for token in set(tokens) - self._marks.keys():
            text = model.token_text(token)
            if token not in plain or (_MARK.fullmatch(text) and not _BYTE.fullmatch(text)):
                self._marks[token] = text
        long_first = sorted((text for text in self._marks.values() if len(text) > 1), key=len, reverse=True)
        self._spelled = re.compile("|".join([*map(re.escape, long_first), _PIPED]))

    def _content(self, text: str) -> list[int]:
        """Return the tokens of text that nobody vouches for; none of them is a mark."""
        tokens = self._model.tokenize(text, special=False) if text else []
        if "<|" not in text and "|>" not in text and self._marks.keys().isdisjoint(tokens):
            return tokens
        for pieces in (self._cut(text), text):  # at the marks; or else, whatever it costs, letter by letter
            tokens = [token for piece in pieces for token in self._model.tokenize(piece, special=False)]
            if self._marks.keys().isdisjoint(tokens):
                return tokens
        raise ModelError(f"The tokenizer of {self._model.path} makes control tokens of plain text; refused.")

    def _cut(self, text: str) -> Iterator[str]:
        """Yield the pieces of a text, cut inside every mark that it spells."""
        start = 0
        for found in self._spelled.finditer(text):
            middle = (found.start() + found.end()) // 2
            yield text[start:middle]
            start = middle
        yield text[start:]


def passage_digest(text: str) -> str:
    """Return the digest by which a passage is known: of its text as it is made into tokens."""
    return digest.of_bytes(_without_placeholders(text).encode("utf-8", "replace"))


def _without_placeholders(text: str) -> str:
    return text.replace(_OPEN, "").replace(_CLOSE, "")
