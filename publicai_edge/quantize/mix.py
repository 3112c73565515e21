"""Which tensor gets which type: the least expected loss that fits a number of bytes.

A multiple-choice knapsack. Every tensor offers candidates (type, bytes, expected loss in each language); the losses of
tensors add up, which holds as long as they are small. Dynamic programming over the bytes solves it, exactly where the
sizes have a common divisor that is not too small; swaps of single tensors and pairs use up what rounding leaves. For
the worst language, languages are weighed more the more they lose, and it is solved again.

Invariants: the same candidates and budget give the same mix; the bytes count what a GGUF file holds, padding and
header included, so the file is never larger than the budget.
"""

import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from publicai_edge import gguf
from publicai_edge.errors import RecipeError
from publicai_edge.quantize.predict import plan, predict_size

Objective = Literal["mean", "worst"]

# Of two types with as many bytes, one may take half the time of the other: llama.cpp lays the weights of these out for
# the processor when it loads them (AVX2, AVX-512, NEON), or unpacks them with few instructions. On two cores with
# AVX-512, SmolLM2-135M wrote 241 tokens a second in Q4_0 and 158 in Q4_1, which has a few percent more bytes.
FAST_TYPES = frozenset({"Q4_0", "IQ4_NL", "Q4_K", "Q6_K", "Q8_0"})
BASE_TYPE = "Q4_0"
"""The type to ask the quantizer for; tensors that the mix does not name get it."""
_BLOCKS = {name: (weights, size) for name, weights, size in gguf.TENSOR_TYPES.values()}
_ROUNDS = 60  # of reweighting languages, for the worst one
_RATE = 0.5
_CELLS = 1 << 15  # of the table; sizes are rounded up to its cells, and swaps use what that leaves
_LEAST_GAIN = 1e-12  # nats per token; less is rounding, and could go round in circles


@dataclass(frozen=True)
class Candidate:
    """One type for one tensor: bytes in the file, padding included; loss in each language, nats per token."""

    type: str
    bytes: int
    losses: Mapping[str, float]


@dataclass(frozen=True)
class Mix:
    """A type for every tensor.

    Attributes:
        tensor_types: by the tensor's name.
        losses: expected mean KL divergence in each language, nats per token.
        bytes: of the whole file.
    """

    tensor_types: Mapping[str, str]
    losses: Mapping[str, float]
    bytes: int

    @property
    def loss(self) -> float:
        """Mean over the languages."""
        return sum(self.losses.values()) / len(self.losses)


def quantizable(source: Path) -> tuple[str, ...]:
    """Return the tensors that llama.cpp would quantize: not norms, not the gates of experts."""
    found = plan(source, [BASE_TYPE])[BASE_TYPE].tensor_types
    return tuple(sorted(name for name, kind in found.items() if kind not in gguf.UNQUANTIZED))


def candidates(
    header: gguf.Header, losses: Mapping[str, Mapping[str, Mapping[str, float]]]
) -> dict[str, tuple[Candidate, ...]]:
    """Return the candidates of each tensor: the types in whose blocks its rows can be stored.

    Args:
        header: the reference's.
        losses: expected loss by tensor, type and language.

    Raises:
        RecipeError: a tensor is not in the model, or no type is left for it.
    """
    tensors = {tensor.name: tensor for tensor in header.tensors}
    found = {}
    for name, by_type in sorted(losses.items()):
        if name not in tensors:
            raise RecipeError(f"{header.path} has no tensor {name!r}.", hint="Measure the sensitivity of this model.")
        tensor = tensors[name]
        fitting = [kind for kind in by_type if kind in _BLOCKS and tensor.dimensions[0] % _BLOCKS[kind][0] == 0]
        if not fitting:
            raise RecipeError(
                f"No type is left for {name} of {header.path}: its rows have {tensor.dimensions[0]} weights.",
                hint="Offer a type of 32-weight blocks, such as Q8_0.",
            )
        found[name] = tuple(Candidate(kind, _stored(tensor, kind, header), by_type[kind]) for kind in fitting)
    return found


def only(choices: Mapping[str, Sequence[Candidate]], types: Collection[str]) -> dict[str, tuple[Candidate, ...]]:
    """Return the candidates of these types; all of a tensor's where none is."""
    kept = {name: tuple(one for one in offered if one.type in types) for name, offered in choices.items()}
    return {name: found or tuple(choices[name]) for name, found in kept.items()}


def fixed_bytes(source: Path, choices: Mapping[str, Sequence[Candidate]], imatrix: Path | None) -> int:
    """Return the bytes of a quantized file beside the tensors in ``choices``: header, tensors kept as they are.

    llama.cpp's dry run tells what it does with all other tensors when the file's type is :data:`BASE_TYPE`.
    """
    some = {name: offered[0] for name, offered in choices.items()}
    chosen = {name: one.type for name, one in some.items()}
    size = predict_size(source, BASE_TYPE, imatrix=imatrix or False, tensor_types=chosen)
    return size - sum(one.bytes for one in some.values())


def assign(
    choices: Mapping[str, Sequence[Candidate]], budget: int, *, fixed: int, objective: Objective = "mean"
) -> Mix:
    """Return the mix with the least expected loss in at most ``budget`` bytes.

    Args:
        choices: candidates by tensor.
        budget: most bytes of the whole file.
        fixed: bytes of the file beside these tensors.
        objective: the mean over the languages, or the worst language.

    Raises:
        RecipeError: even the smallest types do not fit, or there is nothing to choose from.
    """
    if not choices:
        raise RecipeError("There is no tensor to choose a type for.", hint="Measure the sensitivity first.")
    least = fixed + sum(min(one.bytes for one in offered) for offered in choices.values())
    if least > budget:
        raise RecipeError(
            f"The smallest mix of these types has {least:,} bytes; the budget is {budget:,}.",
            hint="Allow more bytes, or offer smaller types.",
            least=least,
            budget=budget,
        )
    languages = sorted(next(iter(choices.values()))[0].losses)
    room = budget - fixed
    weights = {language: 1 / len(languages) for language in languages}
    best = _solve(choices, room, weights)
    if objective == "worst" and len(languages) > 1:
        best = _least_worst(choices, room, weights, best)
    losses = {language: sum(one.losses[language] for one in best.values()) for language in languages}
    return Mix({name: one.type for name, one in best.items()}, losses, fixed + sum(one.bytes for one in best.values()))


_Chosen = dict[str, Candidate]
_Move = tuple[int, float, Candidate]  # bytes more, loss more, what to


def _least_worst(
    choices: Mapping[str, Sequence[Candidate]], room: int, even: dict[str, float], first: _Chosen
) -> _Chosen:
    """Weigh the languages more the more they lose, solve again, and keep the mix whose worst language loses least."""

    def losses(chosen: _Chosen) -> dict[str, float]:
        return {language: sum(one.losses[language] for one in chosen.values()) for language in even}

    best, weights, chosen = first, even, first
    for _ in range(_ROUNDS):
        now = losses(chosen)
        if max(now.values()) < max(losses(best).values()):
            best = chosen
        middle = sum(now.values()) / len(now) or 1.0
        raised = {language: weights[language] * math.exp(_RATE * (now[language] / middle - 1)) for language in even}
        total = sum(raised.values())
        weights = {language: weight / total for language, weight in raised.items()}
        chosen = _solve(choices, room, weights)
    return best


def _solve(choices: Mapping[str, Sequence[Candidate]], room: int, weights: Mapping[str, float]) -> _Chosen:
    """Return the least weighted loss in ``room`` bytes, by dynamic programming over the bytes, then swaps."""
    import numpy as np

    def loss(one: Candidate) -> float:
        return sum(weights[language] * one.losses[language] for language in weights)

    offers = [
        sorted(offered, key=lambda one: (one.bytes, loss(one), one.type)) for _, offered in sorted(choices.items())
    ]
    spare = room - sum(offered[0].bytes for offered in offers)
    sizes = [[one.bytes - offered[0].bytes for one in offered] for offered in offers]
    unit = max(math.gcd(*itertools.chain.from_iterable(sizes)), spare // _CELLS, 1)
    cells = spare // unit + 1
    least = np.zeros(cells)  # the least loss of the tensors so far, by the units they may use
    picks = np.zeros((len(offers), cells), np.uint8)
    for row, (offered, extra) in enumerate(zip(offers, sizes, strict=True)):
        before, least = least, np.full(cells, np.inf)
        for number, (one, size) in enumerate(zip(offered, extra, strict=True)):
            used = -(-size // unit)
            if used < cells:
                total = before[: cells - used] + loss(one)
                better = total < least[used:]
                least[used:][better] = total[better]
                picks[row, used:][better] = number
    chosen, left = {}, cells - 1
    for row, name in reversed(list(enumerate(sorted(choices)))):
        number = int(picks[row, left])
        chosen[name] = offers[row][number]
        left -= -(-sizes[row][number] // unit)
    return _swapped(choices, chosen, room - sum(one.bytes for one in chosen.values()), loss)


def _swapped(
    choices: Mapping[str, Sequence[Candidate]], chosen: _Chosen, room: int, loss: Callable[[Candidate], float]
) -> _Chosen:
    """Change one tensor, or make one larger and another smaller, as long as that lowers the loss."""
    moves = {
        name: [(one.bytes - chosen[name].bytes, loss(one) - loss(chosen[name]), one) for one in offered]
        for name, offered in sorted(choices.items())
    }
    while (move := _best_move(moves, room)) is not None:
        for name, one in move.items():
            room -= one.bytes - chosen[name].bytes
            chosen[name] = one
            moves[name] = [(other.bytes - one.bytes, loss(other) - loss(one), other) for other in choices[name]]
    return chosen


def _best_move(moves: Mapping[str, Sequence[_Move]], room: int) -> _Chosen | None:
    """Return the change of one tensor, or of two, that fits and lowers the loss most; None when none lowers it."""
    best, chosen = -_LEAST_GAIN, None
    smaller = [(name, *move) for name, offered in moves.items() for move in offered if move[0] < 0]
    for name, offered in moves.items():
        for size, change, one in offered:
            if change >= best:
                continue
            if size <= room:
                best, chosen = change, {name: one}
                continue
            for other, shrink, cost, less in smaller:
                if other != name and size + shrink <= room and change + cost < best:
                    best, chosen = change + cost, {name: one, other: less}
    return chosen


def _stored(tensor: gguf.Tensor, kind: str, header: gguf.Header) -> int:
    """Return the bytes of a tensor's data in a type, padded to the file's alignment."""
    block, size = _BLOCKS[kind]
    align = int(header.metadata.get("general.alignment", 32))
    return -(-tensor.weights // block * size // align) * align
