"""From a conversation to tokens, by the model's own chat template.

The template decides where control tokens go; content never can. Each turn's text is replaced by a placeholder
before the template runs; what comes out is cut at the placeholders; the template's parts are tokenized with control
tokens and the contents without. Text that spells ``<|im_start|>`` is thus ordinary text (ggml-org/llama.cpp#24382
shows what happens otherwise).

The template itself comes from the model file and is not trusted: it runs in jinja2's immutable sandbox
(CVE-2024-34359 was a template run outside one), and its size is bounded.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from publicai_edge.engine.llama import LlamaModel
from publicai_edge.engine.protocol import ChatMessage
from publicai_edge.errors import ModelError

_MAX_TEMPLATE = 64 << 10
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"  # private-use characters; removed from contents, so they cannot be forged
_PLACEHOLDER = re.compile(f"{_OPEN}(\\d+){_CLOSE}")


@dataclass(frozen=True)
class Prompt:
    """A conversation in tokens; ``shared`` counts the first ones, which come before any patron's words."""

    tokens: tuple[int, ...]
    shared: int


class ChatFormat:
    """Turns conversations into the tokens one model expects."""

    def __init__(self, model: LlamaModel) -> None:
        self._model = model
        source = model.chat_template
        if not source:
            raise ModelError(
                f"{model.path} carries no chat template: it is a base model, not one that answers questions.",
                hint="Choose the model's -Instruct or -Chat variant.",
                path=str(model.path),
            )
        if len(source) > _MAX_TEMPLATE:
            raise ModelError(f"The chat template of {model.path} has {len(source):,} characters; refused.")
        self._source = source

    @cached_property
    def _template(self) -> Any:
        import jinja2
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        def refuse(message: str) -> None:
            raise jinja2.TemplateError(message)

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=[loopcontrols]
        )
        environment.globals["raise_exception"] = refuse
        # A kiosk's clock is not to be trusted, and a date would make the stored prompt stale every midnight.
        environment.globals["strftime_now"] = lambda _form: "(not known)"
        try:
            return environment.from_string(self._source)
        except jinja2.TemplateError as error:
            raise ModelError(f"The chat template of {self._model.path} is broken: {error}") from error

    def encode(self, messages: Sequence[ChatMessage]) -> Prompt:
        """Return the tokens of a conversation that ends where the answer begins.

        Raises:
            ModelError: the template refuses the conversation, drops a turn or cannot run.
        """
        contents = [_clean(message.content) for message in messages]
        text = self._render([message.role for message in messages])
        model = self._model
        bos = model.token_text(model.bos)
        if model.adds_bos and bos and text.startswith(bos):
            text = text[len(bos) :]  # the tokenizer adds it itself
        parts = _PLACEHOLDER.split(text)
        used = [int(part) for part in parts[1::2]]
        missing = [str(messages[i].role) for i in range(len(messages)) if i not in used]
        if missing:
            raise ModelError(f"The chat template of {model.path} leaves out a turn by: {', '.join(missing)}.")
        tokens: list[int] = []
        shared = 0
        for index, part in enumerate(parts):
            if index % 2 == 0:
                tokens += model.tokenize(part, special=True, begin=index == 0) if part or index == 0 else []
                continue
            turn = int(part)
            if messages[turn].role != "system" and not shared:
                shared = len(tokens)
            tokens += model.tokenize(contents[turn], special=False)
        return Prompt(tuple(tokens), shared)

    def shared_prefix(self, system: str) -> tuple[int, ...]:
        """Return the tokens every conversation under this system prompt starts with."""
        prompt = self.encode([ChatMessage("system", system), ChatMessage("user", "?")])
        return prompt.tokens[: prompt.shared]

    def _render(self, roles: Sequence[str]) -> str:
        turns = [{"role": role, "content": f"{_OPEN}{i}{_CLOSE}"} for i, role in enumerate(roles)]
        model = self._model
        try:
            return str(
                self._template.render(
                    messages=turns,
                    add_generation_prompt=True,
                    bos_token=model.token_text(model.bos),
                    eos_token=model.token_text(model.eos),
                    enable_thinking=False,  # a kiosk on a small CPU has no time to think aloud
                )
            )
        except Exception as error:  # a template is a stranger's program: it may raise anything
            raise ModelError(
                f"The chat template of {model.path} fails on a conversation of {', '.join(roles)}: {error}",
                hint="Some models take no system turn; choose another model, or report this one.",
            ) from error


def _clean(content: str) -> str:
    return content.replace(_OPEN, "").replace(_CLOSE, "").strip()
