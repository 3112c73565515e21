"""What quantization cost in words: the recipe's questions, answered by both models, and the facts each answer states.

Answers are greedy, so that a difference is the quantization's. A fact is given in one or more accepted spellings and
is found when one of them stands in the answer: case folded, compatibility forms and digits of any script made alike,
white space and invisible format characters evened out, Arabic and Hebrew vowel signs left out as most writers leave
them out. Every other diacritic counts: "año" is not "ano". Where a script has letter case, and for numbers, a fact must
stand as a word of its own: "9" is not found in "19", nor "her" in "here".
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from publicai_edge import child
from publicai_edge.errors import ContextOverflowError, PublicAIError
from publicai_edge.evaluate.result import Answer
from publicai_edge.progress import Progress
from publicai_edge.tuning import KvType, Tuning

_VOWEL_SIGNS = (range(0x0591, 0x05C8), range(0x0640, 0x0641), range(0x064B, 0x0653), range(0x0670, 0x0671))


@dataclass(frozen=True)
class Question:
    """One prepared chat.

    Attributes:
        question: what a report shows: usually the patron's words.
        language: BCP 47 tag.
        service: id of the service that is asked.
        system: the whole system turn, "" for none.
        user: the whole user turn, passages included.
        facts: what the answer should state; each as its accepted spellings, the first of which names it.
        passages: where the passages are in ``user``, as in :class:`publicai_edge.engine.protocol.ChatMessage`.
    """

    question: str
    language: str
    service: str
    system: str
    user: str
    facts: tuple[tuple[str, ...], ...]
    passages: tuple[tuple[int, int], ...] = ()


def answer(
    model: Path,
    questions: Sequence[Question],
    *,
    context: int = 4096,
    max_tokens: int = 256,
    kv_type: KvType = "f16",
    progress: Progress,
) -> tuple[str, ...]:
    """Let a model answer in a child process; return its answers in order.

    Args:
        model: a GGUF with a chat template.
        questions: what is asked.
        context: most tokens of a chat and its answer together.
        max_tokens: most tokens of an answer.
        kv_type: type of the KV cache.
        progress: shows questions.

    Raises:
        ModelError: the model cannot be loaded, or has no usable chat template.
        ContextOverflowError: a chat leaves no room for an answer.
    """
    if not questions:
        return ()
    payload = {
        "model": str(model),
        "questions": [asdict(question) for question in questions],
        "context": context,
        "max_tokens": max_tokens,
        "kv_type": kv_type,
    }
    what = f"answer questions with {model.name}"
    return tuple(child.run(f"{__name__}:_answer", payload, what=what, progress=progress).value)


def compare(questions: Sequence[Question], reference: Sequence[str], answers: Sequence[str]) -> tuple[Answer, ...]:
    """Lay a model's answers beside the reference's: both from :func:`answer`, in the order of ``questions``."""
    return tuple(
        Answer(
            question=question.question,
            language=question.language,
            service=question.service,
            reference_text=before,
            text=after,
            facts=tuple(spellings[0] for spellings in question.facts),
            reference_found=tuple(states(before, spellings) for spellings in question.facts),
            found=tuple(states(after, spellings) for spellings in question.facts),
        )
        for question, before, after in zip(questions, reference, answers, strict=True)
    )


def states(text: str, spellings: Sequence[str]) -> bool:
    """Say whether a text states a fact in one of its spellings."""
    folded = _fold(text)
    return any(_stands_in(_fold(spelling), folded) for spelling in spellings)


def _stands_in(fact: str, text: str) -> bool:
    at = text.find(fact) if fact else -1
    while at >= 0:
        end = at + len(fact)
        joined_before = at > 0 and _joined(text[at - 1], text[at])
        joined_after = end < len(text) and _joined(text[end - 1], text[end])
        if not joined_before and not joined_after:
            return True
        at = text.find(fact, at + 1)
    return False


def _joined(left: str, right: str) -> bool:
    """Say whether two neighbours belong to one number, or to one word of a script with letter case."""
    if left.isdecimal() and right.isdecimal():
        return True
    return (_cased(left) or unicodedata.combining(left) > 0) and (_cased(right) or unicodedata.combining(right) > 0)


def _cased(character: str) -> bool:
    return character.upper() != character.lower()


def _fold(text: str) -> str:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kept = []
    for character in folded:
        if unicodedata.category(character) == "Cf" or any(ord(character) in signs for signs in _VOWEL_SIGNS):
            continue
        kept.append(str(unicodedata.decimal(character)) if character.isdecimal() else character)
    return " ".join("".join(kept).split())


def _answer(payload: dict[str, Any], progress: Progress) -> list[str]:
    """Answer in this process, a child made for it."""
    from publicai_edge.engine.chat import ChatFormat
    from publicai_edge.engine.llama import LlamaContext, LlamaModel
    from publicai_edge.engine.prefixes import Prefixes
    from publicai_edge.engine.protocol import ChatMessage, ChatRequest, Delta, Event, Finished, Sampling
    from publicai_edge.engine.scheduler import Scheduler
    from publicai_edge.host import physical_cores

    model = LlamaModel(Path(payload["model"]))
    chat = ChatFormat(model)
    limit, room = payload["context"], payload["max_tokens"]
    requests: list[ChatRequest] = []
    longest = 0
    for question in payload["questions"]:
        turns = [ChatMessage("system", question["system"])] if question["system"] else []
        turns.append(ChatMessage("user", question["user"], tuple(map(tuple, question["passages"]))))
        tokens = len(chat.encode(turns).tokens)
        if tokens >= limit:
            raise ContextOverflowError(
                f"The question {question['question']!r} makes a chat of {tokens} tokens; the context has {limit}.",
                hint="Shorten the service's prompt or its passages, or raise target.context in the recipe.",
            )
        longest = max(longest, tokens)
        requests.append(ChatRequest(tuple(turns), Sampling(max_tokens=room)))
    answers = [""] * len(requests)
    cells, tuning = min(limit, longest + room), Tuning(kv_type=payload["kv_type"])
    context = LlamaContext(model, n_ctx=cells, n_seq=1, threads=physical_cores(), tuning=tuning)
    with progress.task(f"Asking {model.path.name}", total=len(requests), unit="items") as task:

        def hear(number: int, event: Event | PublicAIError) -> None:
            match event:
                case Delta(text):
                    answers[number] += text
                case Finished():
                    task.advance(1)
                case PublicAIError():
                    raise event

        # One at a time: together, the last bits of the logits would depend on which questions are asked at once.
        scheduler = Scheduler(
            context,
            chat,
            Prefixes(context, []),
            slots=1,
            limit=limit,
            send=hear,
            drafts=False,
        )
        for number, request in enumerate(requests):
            scheduler.admit(number, request)
        while scheduler.busy:
            scheduler.step()
    return answers
