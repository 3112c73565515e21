"""The tokenizer in a GGUF against the one of the folder it was made from: the same text must give the same tokens.

Runs in a child process: transformers on one side, llama.cpp's vocabulary on the other.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from publicai_edge.convert.check_texts import CHECK_TEXTS, ENGLISH_TEXTS
from publicai_edge.convert.gguf import memory, scripts
from publicai_edge.convert.gguf.run import stay_offline
from publicai_edge.errors import ModelError
from publicai_edge.progress import Progress

# What tokenizers stumble over, beside the texts on which models are compared.
_HARD_TEXTS = (
    "",
    " ",
    "\n",
    "a",
    "  two  spaces   three\t\ttabs\r\nline\n\n\nthree lines   ",
    "0 7 42 365 2024 31415 271828 1.5 3,14 -7 1e-9 0x1F ٣٤٥ ३४ \N{SUPERSCRIPT TWO}\N{VULGAR FRACTION ONE HALF}",
    "I'm you're he'll we've they'd it's DON'T",
    "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; } // µs",
    "def f(x):\n    if x:\n        return {'a': [1, 2]}\n\n\treturn None\n",
    "<p class=\"note\">café &amp; thé</p> {{ value }} $x^2$ https://example.org/?q=a%20b#c me@example.org",
    "naïve cafe\u0301 Ångström ẞ İstanbul ﬁn ǆ",
    "😀 👩\u200d👩\u200d👧 \U0001f1e8\U0001f1ed ❤\ufe0f 👍\U0001f3fd🚀🚀",
    "中文和English混合123\u3002日本語のテキスト\uff01 한국어 문장.",
    "اللُّغةُ עִבְרִית Ελληνικά ქართული հայերեն",
    "हिन्दी தமிழ் ไทย မြန်မာ አማርኛ កាន់តែ",
    "zero\u200bwidth soft\u00adhyphen no\u00a0break \ufeffmark em\u2003space",
    "=====-----*****.....!!!!!?????\"\"\"'''```",
)  # fmt: skip
_SHOWN = 24
_SPECIAL = "special tokens"


def run(payload: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Compare ``payload["folder"]`` with ``payload["gguf"]``.

    Returns:
        ``texts`` and ``tokens`` compared; ``differing`` texts, in all and by ``differing_kinds`` (a script, or special
        tokens); ``equal_scripts``, which no differing text is written in; ``english_texts`` and, of them,
        ``english_differing``; and ``difference``: a sentence on the first text that differs, or None.
    """
    stay_offline()
    memory.be_thrifty()
    original = _Original(Path(payload["folder"]))
    from publicai_edge.engine.llama import LlamaModel

    model = LlamaModel(Path(payload["gguf"]), vocab_only=True)
    special = original.special_texts()
    texts = [*_HARD_TEXTS, *CHECK_TEXTS, *special]
    count, first = 0, None
    differing: dict[str, set[str]] = {}
    seen: Counter[str] = Counter()
    with progress.task("Comparing the tokenizers", total=len(texts)) as task:
        for text in texts:
            seen.update({script for script, _ in scripts.parts(text)} - {scripts.NO_SCRIPT})
            for how, ours, theirs in _both(model, original, text):
                count += len(theirs)
                if ours != theirs:
                    differing.setdefault(text, {_SPECIAL} if text in special else _kinds(model, original, text))
                    first = first or _sentence(text, how, ours, theirs)
            task.advance(1)
    model.close()
    kinds = Counter(kind for found in differing.values() for kind in found)
    return {
        "texts": len(texts),
        "tokens": count,
        "differing": len(differing),
        "differing_kinds": dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
        "equal_scripts": sorted(seen.keys() - kinds.keys()),
        "english_texts": len(ENGLISH_TEXTS),
        "english_differing": sum(text in differing for text in ENGLISH_TEXTS),
        "difference": first,
    }


def _kinds(model: Any, original: "_Original", text: str) -> set[str]:
    """Return the scripts whose parts of a text differ on their own; all of its scripts where none does."""
    parts = scripts.parts(text)
    alone = {
        script for script, part in parts if any(ours != theirs for _, ours, theirs in _both(model, original, part))
    }
    return alone or {script for script, _ in parts} or {scripts.NO_SCRIPT}


class _Original:
    """The folder's own tokenizer."""

    def __init__(self, folder: Path) -> None:
        from transformers import AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as error:  # transformers raises what its many parts raise
            raise ModelError(
                f"transformers cannot load the tokenizer: {' '.join(str(error).split())[:400]}",
                hint="Fetch the whole repository of the model again.",
            ) from error

    def special_texts(self) -> list[str]:
        """Return texts that hold every kind of special token, as a document or a patron might write it."""
        return [f"before{token}after {token} end" for token in dict.fromkeys(self._tokenizer.all_special_tokens)]

    def encode(self, text: str, *, whole: bool) -> list[int]:
        """Return the tokens; ``whole`` adds what the model wants around a text."""
        return list(self._tokenizer.encode(text, add_special_tokens=whole))

    def encode_as_text(self, text: str) -> list[int] | None:
        """Return the tokens with special ones spelled out, or None where the tokenizer cannot do that."""
        fast = getattr(self._tokenizer, "backend_tokenizer", None)
        if fast is None:
            return None
        before = fast.encode_special_tokens
        fast.encode_special_tokens = True
        try:
            return list(fast.encode(text, add_special_tokens=False).ids)
        finally:
            fast.encode_special_tokens = before


def _both(model: Any, original: _Original, text: str) -> Iterator[tuple[str, list[int], list[int]]]:
    yield "", model.tokenize(text, special=True), original.encode(text, whole=False)
    yield " as a whole text", model.tokenize(text, special=True, begin=True), original.encode(text, whole=True)
    spelled = original.encode_as_text(text)
    if spelled is not None:
        yield " with special tokens spelled out", model.tokenize(text, special=False), spelled


def _sentence(text: str, how: str, ours: list[int], theirs: list[int]) -> str:
    at = next((place for place, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
    start = max(0, (min(len(ours), len(theirs)) if at is None else at) - 2)
    part = slice(start, start + _SHOWN)
    return (
        f"{text[:80]!r}{how} is {theirs[part]} for the original tokenizer and {ours[part]} for the converted one "
        f"(tokens from the {start + 1}th on)."
    )
