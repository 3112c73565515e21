"""How the next token of an answer is chosen: drawn, and held to a grammar where there is one.

A grammar is asked about the drawn token alone; only when it refuses that one is the whole vocabulary put through it,
which costs milliseconds.

Invariant: the native grammar is freed exactly once, by :meth:`Chooser.close`.
"""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from publicai_edge.engine.drawing import Draw, Logits
from publicai_edge.engine.llama import LlamaModel, library
from publicai_edge.engine.protocol import Sampling
from publicai_edge.engine.schema_grammar import grammar_of
from publicai_edge.errors import EngineError

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Chooser:
    """Chooses one answer's tokens, one after the other.

    Raises:
        EngineError: the grammar or the JSON schema cannot be used.
    """

    def __init__(self, model: LlamaModel, sampling: Sampling) -> None:
        self._llama = library()
        self._draw = Draw(sampling)
        self._grammar: Any = None
        self._parameter = "grammar" if sampling.json_schema is None else "response_format"
        if grammar := _grammar(sampling):
            self._grammar = self._llama.llama_sampler_init_grammar(model.vocab, grammar.encode(), b"root")
            if not self._grammar:
                raise EngineError(
                    "The grammar of the request cannot be read.",
                    hint="Give GBNF with a rule 'root', or a JSON schema.",
                    parameter=self._parameter,
                )

    def choose(self, logits: Logits) -> int:
        """Return the next token, and take it as chosen.

        Args:
            logits: one a token of the vocabulary, shape (n_vocab,).

        Raises:
            EngineError: no token fits the grammar.
        """
        token = self._draw.pick(logits)
        if self._grammar:
            if not self._allowed(token):
                token = self._draw.pick(self._held(logits))
            self._llama.llama_sampler_accept(self._grammar, token)
        self._draw.accept(token)
        return token

    def close(self) -> None:
        """Free the grammar."""
        if self._grammar:
            self._llama.llama_sampler_free(self._grammar)
        self._grammar = None

    def _allowed(self, token: int) -> bool:
        one = np.array([(token, 1.0, 0.0)], _CANDIDATE)
        self._apply(one)
        return bool(np.isfinite(one["logit"][0]))

    def _held(self, logits: Logits) -> Logits:
        """Return the logits with minus infinity for every token that the grammar refuses."""
        candidates = np.zeros(logits.size, _CANDIDATE)
        candidates["id"], candidates["logit"] = np.arange(logits.size), logits
        self._apply(candidates)
        held = np.ascontiguousarray(candidates["logit"])
        if not np.isfinite(held.max()):
            raise EngineError(
                "No token of the model's vocabulary fits the grammar of the request.",
                hint="Ask for a form that text in UTF-8 can have.",
                parameter=self._parameter,
            )
        return held

    def _apply(self, candidates: npt.NDArray[Any]) -> None:
        llama = self._llama
        data = ctypes.cast(candidates.ctypes.data, ctypes.POINTER(llama.llama_token_data))
        array = llama.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=False)
        llama.llama_sampler_apply(self._grammar, ctypes.byref(array))


def _grammar(sampling: Sampling) -> str | None:
    if sampling.json_schema is None:
        return sampling.grammar
    try:
        return grammar_of(sampling.json_schema)
    except Exception as error:  # a schema is a stranger's text: the converter raises what it likes
        raise EngineError(
            "The JSON schema of the request cannot be made into a grammar.",
            hint="Use plain types, enums, arrays and objects; leave out patterns and references to other files.",
            parameter="response_format",
        ) from error
