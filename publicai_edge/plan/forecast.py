"""Puts a model's cost and a device's profile together: what it takes of memory and disk, and how fast it will be."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from publicai_edge import gguf
from publicai_edge.engine import fit, warm
from publicai_edge.knowledge import zim
from publicai_edge.plan.cost import Cost
from publicai_edge.plan.device import Profile, Range

# The process that serves the page, and the search model's beside it: measured with the demo bundle on x86-64.
_SERVER_BYTES = 150 << 20
_SEARCH_BYTES = 150 << 20
_MEMORY_SPREAD = 0.1
# The worker: Python, numpy and llama.cpp, without a model. What `fit` takes for it is meant to be too high.
_WORKER_BYTES = 50 << 20
_COMPUTE_SHARE = 0.65  # of what `fit` takes for buffers, which it overstates by 39 to 66 %
_LEAST_CONTEXT = 1024
_TEMPLATE_TOKENS = 40
_NAMED = 3  # types that are named one by one
_WRITTEN = 100  # tokens: speed is told for an answer of that length, at its middle


@dataclass(frozen=True)
class Model:
    """A model as it would lie in the bundle.

    Attributes:
        type: its quantization type, as llama.cpp names it.
        size: bytes of the file.
        header: of the file it is made from.
        cost: of an evaluation.
    """

    type: str
    size: int
    header: gguf.Header
    cost: Cost


@dataclass(frozen=True)
class Use:
    """How it is used.

    Attributes:
        context: tokens of a conversation.
        patrons: answered at the same time.
        shared_tokens: of all service prompts together, which are stored.
        longest_prompt: tokens of the longest of them.
        question_tokens: that are read before an answer: the question, and the passages with it.
        other_disk: bytes of everything else in the bundle than the model and the stored prompts.
        search: whether there is a search model.
        zims: ZIM files, of which a process of its own reads each.
        composing: conversations' worth of memory that putting passages together takes beside the patrons'.
        speech: bytes of the processes that write down what is said and that read aloud; 0 where there are none.
        kept_disk: most bytes that the kiosk keeps on its disk beside the bundle.
    """

    context: int
    patrons: int
    shared_tokens: int
    longest_prompt: int
    question_tokens: int
    other_disk: int
    search: bool
    zims: int = 0
    composing: int = 0
    speech: int = 0
    kept_disk: int = 0


@dataclass(frozen=True)
class Problem:
    """Why something does not fit.

    Attributes:
        words: a sentence, with ``{}`` where the amount belongs; the same for all models that have the problem.
        amount: what this model takes or reaches.
        form: how an amount is written, such as ``.2f``.
        unit: of the amount, "" for none.
    """

    words: str
    amount: float
    form: str
    unit: str

    def __str__(self) -> str:
        return _told([self])


def _told(problems: Sequence[Problem]) -> str:
    """Return problems that differ in their amount only as one sentence, with the range of the amounts."""
    first, amounts = problems[0], [problem.amount for problem in problems]
    ends = dict.fromkeys(f"{end:{first.form}}" for end in (min(amounts), max(amounts)))
    return first.words.format(f"{' to '.join(ends)} {first.unit}".rstrip())


@dataclass(frozen=True)
class Forecast:
    """What is expected of a model on a device.

    Attributes:
        type: the model's quantization type.
        disk: bytes of the bundle, and of what the kiosk keeps beside it.
        memory: bytes that the engine, the page's server and the search hold together.
        asked: bytes that must be free, or the engine does not load the model: more than it will hold.
        need: the engine's part of that.
        free: bytes of memory that the device has left beside its system; of disk in ``disk_free``.
        first_token: seconds from a question to the answer's first word.
        tokens_per_second: of one patron's answer.
        problems: why it does not fit; none where it does.
    """

    type: str
    disk: int
    memory: Range
    asked: int
    need: fit.Need
    free: int
    disk_free: int
    first_token: Range | None
    tokens_per_second: Range | None
    problems: tuple[Problem, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return plain data; bytes, seconds and tokens a second."""
        return {
            "type": self.type,
            "fits": self.fits,
            "problems": list(map(str, self.problems)),
            "disk_bytes": self.disk,
            "disk_free_bytes": self.disk_free,
            "memory_bytes": self.memory.to_json(),
            "memory_asked_bytes": self.asked,
            "memory_free_bytes": self.free,
            "engine_bytes": {
                "weights": self.need.weights,
                "cache": self.need.cache,
                "compute": self.need.compute,
                "program": self.need.program,
            },
            "first_token_seconds": self.first_token.to_json() if self.first_token else None,
            "tokens_per_second": self.tokens_per_second.to_json() if self.tokens_per_second else None,
        }


@dataclass(frozen=True)
class Wanted:
    """What a recipe's ``[target]`` asks for."""

    tokens_per_second: float | None = None
    first_token_seconds: float | None = None


def forecast(model: Model, use: Use, device: Profile, wanted: Wanted = Wanted()) -> Forecast:
    """Return what is expected."""
    cells = warm.cells(use.context, use.patrons + use.composing) + use.shared_tokens
    need = replace(fit.need(model.header, cells=cells, outputs=use.patrons), weights=model.size)
    beside = _SERVER_BYTES + (_SEARCH_BYTES if use.search else 0) + use.zims * zim.READER_BYTES + use.speech
    stored = use.shared_tokens * fit.kv_bytes_per_cell(model.header)
    speed = device.speed
    first = rate = None
    if speed:
        depth = use.longest_prompt + use.question_tokens
        seconds = speed.prompt_seconds(model.cost, use.question_tokens, use.longest_prompt)
        each = speed.token_seconds(model.cost, depth + _WRITTEN // 2)
        first = Range.around(seconds + each, speed.spread)
        rate = Range.around(1 / each, speed.spread)
    found = Forecast(
        model.type,
        model.size + use.other_disk + stored + use.kept_disk,
        Range.around(engine_bytes(model, need) + beside, _MEMORY_SPREAD),
        need.total + beside,
        need,
        max(0, int((device.ram_gb - device.system_gb) * 1e9)),
        int(device.disk_gb * 1e9),
        first,
        rate,
    )
    return replace(found, problems=tuple(_problems(found, model, use, device, wanted)))


def engine_bytes(model: Model, need: fit.Need) -> float:
    """Return the bytes that the engine will hold: what it cannot give back, and the weights it reads."""
    weights, program = model.size - model.cost.looked_up, _WORKER_BYTES + fit.vocabulary_bytes(model.header)
    return weights + need.cache + _COMPUTE_SHARE * need.compute + program


def _problems(found: Forecast, model: Model, use: Use, device: Profile, wanted: Wanted) -> Iterator[Problem]:
    trained = model.header.number("context_length")
    if trained and use.context > trained:
        words = f"the model was made for {{}} tokens of context, and target.context is {use.context:,}"
        yield Problem(words, trained, ",", "")
    if found.disk > found.disk_free:
        takes = "the bundle and the passages that the kiosk reads ahead take" if use.kept_disk else "the bundle takes"
        words = f"{takes} {{}} of disk, and {found.disk_free / 1e9:.2f} GB are free"
        yield Problem(words, found.disk / 1e9, ".2f", "GB")
    if found.asked > found.free:
        words = f"it asks for {{}} of memory, and of {device.ram_gb:g} GB the system leaves {found.free / 1e9:.2f} GB"
        yield Problem(words, found.asked / 1e9, ".2f", "GB")
    if wanted.tokens_per_second and found.tokens_per_second and found.tokens_per_second.high < wanted.tokens_per_second:
        words = f"it writes {{}} at best, and target.tokens_per_second is {wanted.tokens_per_second:g}"
        yield Problem(words, found.tokens_per_second.high, ".1f", "tokens/s")
    if wanted.first_token_seconds and found.first_token and found.first_token.low > wanted.first_token_seconds:
        words = f"the first word takes {{}} at best, and target.first_token_seconds is {wanted.first_token_seconds:g}"
        yield Problem(words, found.first_token.low, ".1f", "s")


def why_not(forecasts: Sequence[Forecast]) -> list[str]:
    """Return what speaks against these forecasts: a sentence for each kind of problem, however many types have it."""
    found: dict[str, list[tuple[str, Problem]]] = {}
    for forecast_ in forecasts:
        for problem in forecast_.problems:
            found.setdefault(problem.words, []).append((forecast_.type, problem))
    return [f"{_names([type_ for type_, _ in each])}: {_told([one for _, one in each])}." for each in found.values()]


def _names(types: Sequence[str]) -> str:
    if len(types) <= _NAMED:
        return ", ".join(types)
    return f"{types[0]} to {types[-1]}, {len(types)} types"


def remedies(
    models: Sequence[Model], use: Use, tried: Callable[[Model, Use], Forecast], chosen: str
) -> list[tuple[str, Forecast]]:
    """Return what would fit in place of what does not, each in words: another type, fewer patrons, a shorter context.

    Args:
        models: the model in every type that it could have, the largest first.
        use: as the recipe has it.
        tried: gives the forecast of a model and a use.
        chosen: the type that does not fit.
    """
    found = []
    mine = next(model for model in models if model.type == chosen)
    for model in models:
        if model.size < mine.size and (each := tried(model, use)).fits:
            found.append((f'quantize.type = "{model.type}"', each))
            break
    for patrons in range(use.patrons - 1, 0, -1):
        if (each := tried(mine, replace(use, patrons=patrons))).fits:
            found.append((f"target.patrons = {patrons}", each))
            break
    context = use.context // 2
    while context >= _LEAST_CONTEXT:
        if (each := tried(mine, replace(use, context=context))).fits:
            found.append((f"target.context = {context}", each))
            break
        context //= 2
    return found


def shared_tokens(prompts: Mapping[str, str]) -> tuple[int, int]:
    """Return the tokens of all service prompts together, and of the longest; three bytes make one, as a rule."""
    counts = [len(text.encode()) // 3 + _TEMPLATE_TOKENS for text in prompts.values()]
    return sum(counts), max(counts, default=0)
