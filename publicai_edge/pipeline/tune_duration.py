"""How long tuning will take, told before anything is measured for it."""

from publicai_edge import gguf, host
from publicai_edge.artifact import Blob
from publicai_edge.bench import limits
from publicai_edge.pipeline import candidates, corpora
from publicai_edge.pipeline.measuring import Measuring
from publicai_edge.tune import duration
from publicai_edge.tune.duration import Reading
from publicai_edge.tune.search import Work, blocks, expected
from publicai_edge.tune.space import Space

_BYTES_A_TOKEN = 3  # of text, in the languages and vocabularies that there are, roughly
_SENSITIVITY_TOKENS = 64  # of each language
_SENSITIVITY_MORE = 28  # evaluations beside one for each tensor: the largest two are measured in every type


def told(space: Space, work: Work, seconds: float, *, busy: int, header: gguf.Header, reading: Reading) -> str:
    """Return a guess at how long it will take, in a sentence or two.

    Args:
        space: the points.
        work: what is to be fast.
        seconds: how long speeds may be measured.
        busy: cores that are kept busy meanwhile.
        header: of the model.
        reading: what is read to judge types.
    """
    weights = sum(tensor.weights for tensor in header.tensors)
    cost = duration.guessed(weights, *limits.measure(max(1, host.physical_cores() - busy)))
    rungs = expected(space, work, cost, seconds)
    speeds = duration.speeds(rungs, blocks(space), len(space.types) if reading.types else 0, weights)
    judging = [reading.seconds(cost.read, judged) for judged in (min(1, reading.types), reading.types)]
    whole = duration.between(speeds + judging[0], speeds + judging[1])
    parts = f"{len(space.all())} points on {len(rungs)} rungs"
    if reading.types:
        parts += f", and what {'one type loses' if reading.types == 1 else f'1 to {reading.types} types lose'}"
    return f"This will take {whole}, as a rough guess: {parts}. What is in the cache already takes no time."


def reading_of(laboratory: Measuring, names: tuple[str, ...], caches: int, original: Blob) -> Reading:
    """Return what is read to judge these types, each with so many KV caches, of a model in 16 bits."""
    store, calibrated = laboratory.runner.store, laboratory.settings.calibrate
    evaluation = corpora.load(store, laboratory.sides.evaluation)
    tokens = sum(len(document.text.encode()) for document in evaluation.documents) // _BYTES_A_TOKEN
    sides = corpora.load(store, laboratory.sides.calibration).documents if calibrated else ()
    sensitivity = 0
    if any(map(candidates.is_mixed, names)):
        evaluations = len(gguf.read(store.path(original)).tensors) + _SENSITIVITY_MORE
        sensitivity = evaluations * _SENSITIVITY_TOKENS * len(evaluation.languages)
    calibration = sum(len(document.text.encode()) for document in sides) // _BYTES_A_TOKEN
    return Reading(tokens, calibration, sensitivity, len(names) * caches)
