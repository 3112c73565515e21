"""Continuous batching: all conversations are evaluated together, and join and leave between two evaluations.

One :meth:`Scheduler.step` is one evaluation. It holds the next token of every answer (and a guess at what follows,
where that pays), and fills up with pieces of prompts, oldest request first. While answers are being written, a piece of
prompt is kept so short that they go on within some tenth of a second.

Prompts that patrons share are evaluated once (:mod:`publicai_edge.engine.prefixes`); a request waits for the one it
begins with, and goes on from a copy. Requests with any other system prompt in common read it once while one of them is
there.

Invariants: a request has one sequence, with room for all it may ever need, and what it had of its own is forgotten when
it ends: no patron's words stay in the cache; a step that fails ends the requests in it and nothing else.
"""

import bisect
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from publicai_edge.engine.chat import ChatFormat, Prompt
from publicai_edge.engine.llama import LlamaContext, LlamaModel
from publicai_edge.engine.lookup import LONGEST, Pace
from publicai_edge.engine.passages.composer import Composer
from publicai_edge.engine.prefixes import Prefixes
from publicai_edge.engine.protocol import ChatRequest, Event, Finished, Sampling
from publicai_edge.engine.sampling import Chooser
from publicai_edge.engine.slots import Slot
from publicai_edge.engine.threads import Threads
from publicai_edge.errors import ContextOverflowError, EngineError, PublicAIError

_STEP_SECONDS = 0.2
_LONE_STEP_SECONDS = 0.5  # while nobody is writing; who goes away in the middle of a long prompt frees the slot then
_TRIAL_STEP_SECONDS = 0.1  # while it is not sure how many threads there should be
_LEAST_PIECE = 16
_REST = 1.5  # pieces; so much is read at once rather than in two
_TELLING_PIECE = 64  # tokens of prompt in a step whose time tells how fast prompts are read
# An answer's first text is sent at once; the rest of all answers together, at most so often: a reader cannot see the
# difference, and on two cores every event that is passed on, sent and drawn takes time from the model.
_SAY_SECONDS = 0.06
WORTH_SHARING = 24  # tokens; fewer are read again sooner than they are looked for

Send = Callable[[int, Event | PublicAIError], None]


@dataclass
class _Waiting:
    number: int
    prompt: Prompt
    request: ChatRequest
    room: int


@dataclass
class _Reading:
    """How fast prompts are read here, in tokens a second."""

    rate: float = 512.0

    def saw(self, tokens: int, seconds: float) -> None:
        """Take the time of a step with so many tokens of prompts; small pieces tell of other things than reading."""
        if tokens >= min(_TELLING_PIECE, self.rate * _STEP_SECONDS / 2) and seconds > 0:
            self.rate = 0.5 * self.rate + 0.5 * tokens / seconds


@dataclass
class Counts:
    """What the engine has done, for those who want to prove it."""

    steps: int = 0
    drafted: int = 0
    drafts_right: int = 0
    native_seconds: float = 0.0
    step_seconds: float = 0.0


@dataclass
class Scheduler:
    """The conversations of one context.

    Args:
        context: the context.
        chat: the model's chat format.
        prefixes: the shared prompts.
        slots: requests answered at the same time, each in a sequence of the context.
        limit: tokens one request may have, prompt and answer.
        send: takes each event of a request, or its error.
        threads: how many threads to use, asked before each step; None leaves the context's.
        drafts: whether to look for drafts in the prompt.
        make_chooser: begins to choose an answer's tokens, as the request's sampling says.
        composer: puts passages together that were read before; None where each is read for each question.
    """

    context: LlamaContext
    chat: ChatFormat
    prefixes: Prefixes
    slots: int
    limit: int
    send: Send
    threads: Threads | None = None
    drafts: bool = True
    make_chooser: Callable[[LlamaModel, Sampling], Chooser] = Chooser
    composer: Composer | None = None
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        """Begin with every slot free."""
        self._free = list(range(self.slots))
        self._active: list[Slot] = []
        self._waiting: deque[_Waiting] = deque()
        self._pace = Pace()
        self._reading = _Reading()
        self._prompt_tokens = 0
        self._said_at = 0.0
        self._rewinds = self.context.model.keeps_positions

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._active or self._waiting)

    @property
    def active(self) -> int:
        """Requests being answered."""
        return len(self._active)

    def admit(self, number: int, request: ChatRequest, prompt: Prompt | None = None) -> None:
        """Take a request in; what is wrong with it is sent as its error.

        Args:
            number: names the request in what is sent.
            request: the request.
            prompt: its tokens, where somebody has made them already.
        """
        try:
            prompt = prompt or self.chat.encode_request(request)
            room = self.limit - len(prompt.tokens)
            if room < 1:
                raise ContextOverflowError(
                    f"The conversation has {len(prompt.tokens)} tokens; the model's context has {self.limit}.",
                    hint="Ask a shorter question, or begin a new session.",
                    prompt_tokens=len(prompt.tokens),
                    context=self.limit,
                )
            room = min(room, request.sampling.max_tokens)
        except PublicAIError as error:
            self.send(number, error)
            return
        self._waiting.append(_Waiting(number, prompt, request, room))
        self._let_in()

    def cancel(self, number: int) -> None:
        """End a request whose reader is gone; its sequence is free at once."""
        for slot in self._active:
            if slot.number == number:
                slot.finish("cancelled")
                self._leave(slot)
                return
        for item in self._waiting:
            if item.number == number:
                self._waiting.remove(item)
                self.send(number, Finished("cancelled", 0, 0.0, 0.0))
                return

    def step(self) -> None:
        """Evaluate once, and send what came of it."""
        started = time.perf_counter()
        if self.threads:
            self.context.use_threads(self.threads.look())
        if (index := self._shared_prompt_to_read()) is not None:
            try:
                self.prefixes.read_piece(index, self._waiting_for(index)[0].sequence)
            except PublicAIError as error:
                self._fail(error, self._waiting_for(index))
        self._let_in()
        places = self._fill()
        if len(self.context.batch):
            try:
                self._evaluate(places)
            except PublicAIError as error:
                self._fail(error, list(self._active))
        for slot in [slot for slot in self._active if slot.done]:
            self._leave(slot)
        self.counts.step_seconds += time.perf_counter() - started

    def read_ahead(self) -> None:
        """Read a piece of a shared prompt that nobody waits for yet; for when there is nothing else to do.

        Raises:
            EngineError: the native call failed.
        """
        index = self.prefixes.missing[0]
        self.prefixes.read_piece(index, self.prefixes.choose(self._free, index))

    # Who is let in, and who shares with whom.

    def _let_in(self) -> None:
        """Give free slots to those who wait, in order."""
        while self._waiting and self._free:
            item = self._waiting.popleft()
            try:
                chooser = self.make_chooser(self.context.model, item.request.sampling)
            except PublicAIError as error:
                self.send(item.number, error)
                continue
            prefix = self.prefixes.of(item.prompt.tokens)
            sequence = self.prefixes.choose(self._free, prefix, [slot.sequence for slot in self._active])
            self._free.remove(sequence)
            self._active.append(
                Slot(
                    number=item.number,
                    sequence=sequence,
                    prompt=item.prompt,
                    prefix=prefix,
                    sampling=item.request.sampling,
                    room=item.room,
                    model=self.context.model,
                    chooser=chooser,
                    send=self.send,
                )
            )
            self._compose(self._active[-1])

    def _compose(self, slot: Slot) -> None:
        """Let a request begin with its passages, where they were read before."""
        if self.composer is None:
            return
        with contextlib.suppress(EngineError):  # they are read as usual then
            found = self.composer.compose(slot.prompt)
            if found:
                self.prefixes.leave(slot.sequence)
                if self.context.restore(slot.sequence, self.context.fitted(found.state)):
                    slot.filled, slot.reused = found.tokens, found.reused

    def _leave(self, slot: Slot) -> None:
        slot.close()
        self.prefixes.end(slot.sequence)
        self._active.remove(slot)
        bisect.insort(self._free, slot.sequence)  # the lowest is chosen first: neighbours are computed together
        self._let_in()

    def _fail(self, error: PublicAIError, slots: Sequence[Slot]) -> None:
        for slot in slots:
            self.send(slot.number, error)
            self._leave(slot)

    def _shared_prompt_to_read(self) -> int | None:
        """Return the shared prompt that the oldest request waits for, if one does."""
        for slot in self._active:
            if slot.filled == 0 and slot.prefix is not None and not self.prefixes.is_ready(slot.prefix):
                return slot.prefix
        return None

    def _waiting_for(self, index: int) -> list[Slot]:
        return [slot for slot in self._active if slot.filled == 0 and slot.prefix == index]

    def _lend(self, slot: Slot) -> bool:
        """Let a request begin with what is computed already; False while that is on its way."""
        if slot.prefix is not None:
            if self.prefixes.is_ready(slot.prefix):
                slot.filled = slot.reused = self.prefixes.lend(slot.prefix, slot.sequence)
            return slot.filled > 0
        return not self._rewinds or self._share(slot)

    def _share(self, slot: Slot) -> bool:
        """Let a request begin with the system prompt of one that came before it; False while that is being read."""
        for other in self._active[: self._active.index(slot)]:  # nobody waits for one who waits for him
            shared = _common(slot.tokens, other.tokens, min(slot.prompt.shared, other.prompt.shared))
            if shared < WORTH_SHARING:
                continue
            if other.filled < shared:
                return False
            self.context.copy_first(other.sequence, slot.sequence, shared)
            slot.filled = slot.reused = shared
            break
        return True

    # One evaluation.

    def _fill(self) -> list[tuple[Slot, int]]:
        """Fill the batch; return whose logits come, and from which place of it."""
        parts: list[tuple[Slot, list[int], int]] = []  # whose, which tokens, and of how many the logits
        writing = [slot for slot in self._active if not slot.reading]
        drafting = self._draft_length(writing)
        for slot in writing:
            slot.draft = slot.guess(drafting) if drafting else []
            parts.append((slot, [slot.tokens[-1], *slot.draft], 1 + len(slot.draft)))
        begun = sum(len(tokens) for _, tokens, _ in parts)
        reading = sum(slot.reading for slot in self._active)
        room = self.context.batch.capacity - begun
        if self.threads and not self.threads.sure:
            beside = self._rate_times(_TRIAL_STEP_SECONDS)
        elif writing:
            beside = self._room_beside(reading, len(writing))
        else:
            beside = self._rate_times(_LONE_STEP_SECONDS)
        room = min(room, beside)
        for slot in self._active:
            if room < 1 or not slot.reading or (slot.filled == 0 and not self._lend(slot)):
                continue
            piece = slot.tokens[slot.filled : slot.filled + room]
            parts.append((slot, piece, int(len(piece) == slot.left)))
            room -= len(piece)
        return self._laid_out(parts, begun)

    def _laid_out(self, parts: list[tuple[Slot, list[int], int]], begun: int) -> list[tuple[Slot, int]]:
        """Put the parts in the batch, in the order of their sequences.

        llama.cpp computes neighbouring streams together, but only if they come in their order; of four in another order
        it makes four evaluations.
        """
        batch = self.context.batch
        batch.clear()
        places = []
        for slot, tokens, logits in sorted(parts, key=lambda part: part[0].sequence):
            first = batch.add(tokens, sequence=slot.sequence, position=slot.filled, logits=logits)
            if logits:
                places.append((slot, first))
            else:
                slot.filled += len(tokens)
        self._prompt_tokens = len(batch) - begun
        return places

    def _room_beside(self, reading: int, writing: int) -> int:
        """Return how many tokens of prompts a step may hold while answers are being written.

        The more wait for their first word for each one who would wait for the next, the more: what is read in large
        pieces is read sooner. One alone reads in short pieces, however long the prompt. A rest that is hardly more than
        a piece is not divided: it would be two short ones.
        """
        waiting = (reading + writing) / writing if reading > 1 else 1.0
        room = self._rate_times(_STEP_SECONDS * waiting)
        left = sum(slot.left for slot in self._active if slot.reading)
        return left if left <= room * _REST else room

    def _rate_times(self, seconds: float) -> int:
        return max(_LEAST_PIECE, int(self._reading.rate * seconds))

    def _draft_length(self, writing: Sequence[Slot]) -> int:
        """Return how far to guess: only for one who writes alone, since others fill the batch as well."""
        if not (self.drafts and self._rewinds and len(self._active) == len(writing) == 1):
            return 0
        return min(LONGEST, self._pace.length(writing[0].accepted.chance))

    def _evaluate(self, places: Sequence[tuple[Slot, int]]) -> None:
        context = self.context
        count = len(context.batch)
        started = time.perf_counter()
        context.evaluate()
        seconds = time.perf_counter() - started
        self.counts.steps += 1
        self.counts.native_seconds += seconds
        self._reading.saw(self._prompt_tokens, seconds)
        if len(self._active) == 1 and count <= LONGEST + 1:
            self._pace.saw(count, seconds)
        for slot, first in places:
            try:
                self._take(slot, first)
            except PublicAIError as error:  # no token fits this one's grammar; the others go on
                self._fail(error, [slot])
        self._say([slot for slot, _ in places if not slot.done])

    def _say(self, slots: Sequence[Slot]) -> None:
        """Send what those who are being answered have not heard yet, when it is time."""
        now = time.perf_counter()
        due = now - self._said_at >= _SAY_SECONDS
        if due:
            self._said_at = now
        for slot in slots:
            slot.say(due=due)

    def _take(self, slot: Slot, first: int) -> None:
        """Choose what follows; a guess that turns out right has its logits there already."""
        slot.filled = len(slot.tokens)
        draft, slot.draft = slot.draft, []
        right = 0
        for place in range(len(draft) + 1):
            token = slot.chooser.choose(self.context.logits(first + place))
            if not slot.take(token) or place == len(draft) or draft[place] != token:
                break
            right += 1
            slot.filled += 1
        if draft:
            slot.accepted.saw(right, len(draft))
            self.counts.drafted += len(draft)
            self.counts.drafts_right += right
            self.context.forget(slot.sequence, slot.filled)


def _common(left: Sequence[int], right: Sequence[int], most: int) -> int:
    for index in range(most):
        if left[index] != right[index]:
            return index
    return most
