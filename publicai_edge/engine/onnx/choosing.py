"""How the next token of an ONNX model is chosen: drawn as everywhere, without llama.cpp's grammars."""

from typing import Any

from publicai_edge.engine.drawing import Draw, Logits
from publicai_edge.engine.protocol import Sampling
from publicai_edge.errors import EngineError


class Chooser:
    """Chooses one answer's tokens, one after the other.

    Raises:
        EngineError: the request asks for a grammar or a JSON schema.
    """

    def __init__(self, _model: Any, sampling: Sampling) -> None:
        if sampling.grammar is not None or sampling.json_schema is not None:
            raise EngineError(
                "This bundle's model runs in onnxruntime, which cannot hold an answer to a grammar or a JSON schema.",
                hint='Ask without response_format and grammar, or use a bundle whose recipe says engine = "llama".',
                problem="the model of this bundle runs in onnxruntime, which cannot keep an answer to a form",
                parameter="grammar" if sampling.json_schema is None else "response_format",
            )
        self._draw = Draw(sampling)

    def choose(self, logits: Logits) -> int:
        """Return the next token, and take it as chosen.

        Args:
            logits: one a token of the vocabulary, shape (n_vocab,).
        """
        token = self._draw.pick(logits)
        self._draw.accept(token)
        return token

    def close(self) -> None:
        """Nothing is held."""
