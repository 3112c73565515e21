"""A causal language model from safetensors to ONNX with a key-value cache, measured against the original.

Every result is compared with the original on :data:`~publicai_edge.convert.check_texts.CHECK_TEXTS`, read at once and
token by token with the cache; the figures are in ``conversion.json`` beside the model.

Invariants: one process holds one model, so the peak is that of the original at 4 bytes a weight; nothing is written
to ``output`` unless the loss is within its bound; the same folder and settings give the same bytes; no network, no
code from the model's repository, no pickle.
"""

import importlib.metadata
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from publicai_edge import atomic, child
from publicai_edge.child import ChildResult
from publicai_edge.convert import packages, source_folder
from publicai_edge.convert.causal_lm_check import Loss
from publicai_edge.errors import HostError, ModelError, RecipeError
from publicai_edge.progress import Progress

REPORT_FILE = "conversion.json"
MODEL_FILE = "model.onnx"

Format = Literal["none", "int8", "int4", "int4-genai", "int8-dynamic"]

# The most mean KL divergence that is accepted where the caller names none, nats per token.
DEFAULT_MAX_KL: dict[str, float] = {"none": 1e-5, "int8": 0.05, "int4": 0.3, "int4-genai": 0.7, "int8-dynamic": 0.05}
MAX_LOGIT_DIFFERENCE = 0.02  # of the export in 32 bits; 0.0009 measured
MAX_CACHE_KL = 0.02  # of decoding token by token from reading at once; 0.003 measured in int4

_EXTRA = ("torch", "transformers", "optimum", "accelerate", "onnx", "onnx_ir", "onnxruntime", "safetensors")
_DISTRIBUTIONS = ("torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnx-ir", "onnxruntime")
_COPIED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
)


@dataclass(frozen=True)
class CausalLmSettings:
    """How small the model is made, and what that may cost.

    Attributes:
        quantize: ``none`` (32 bits), ``int8`` and ``int4`` (weights in blocks), ``int4-genai`` (the builder of
            onnxruntime-genai), or ``int8-dynamic``, refused unless forced.
        max_kl: most mean KL divergence to the original, nats per token; None is :data:`DEFAULT_MAX_KL`.
        force: write the result whatever its loss, and say how much it is.
        replace: replace ``output`` where it exists.
    """

    quantize: Format = "int4"
    max_kl: float | None = None
    force: bool = False
    replace: bool = False

    @property
    def bound(self) -> float:
        """The bound on the mean KL divergence, nats per token."""
        return DEFAULT_MAX_KL[self.quantize] if self.max_kl is None else self.max_kl


@dataclass(frozen=True)
class CausalLmReport:
    """What a conversion did and cost.

    Attributes:
        architecture: ``model_type`` of ``config.json``.
        quantization: the format, as in :class:`CausalLmSettings`.
        loss: against the original.
        max_kl: the bound that was asked, nats per token.
        passed: the loss is within the bounds; False only where the caller forced it.
        bytes_before: the original's weights.
        bytes_after: graph and weights of the result.
        versions: of the packages that made it.
    """

    architecture: str
    quantization: str
    loss: Loss
    max_kl: float
    passed: bool
    bytes_before: int
    bytes_after: int
    versions: dict[str, str]

    def to_bytes(self) -> bytes:
        """Return the content of ``conversion.json``."""
        return (json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def convert_causal_lm(
    source: Path, output: Path, settings: CausalLmSettings, progress: Progress
) -> tuple[CausalLmReport, ChildResult]:
    """Convert the model in ``source`` (Hugging Face layout) to an ONNX folder ``output``.

    Returns:
        The report, also in ``output/conversion.json``, and what the child processes used: the highest peak of one,
        and the seconds of all.

    Raises:
        RecipeError: the format is unknown, or one that ruins causal models.
        HostError: the extra ``onnx`` is not installed, ``output`` exists, or the disk refuses.
        ModelError: the folder cannot be converted, or the result strays too far from the original.
    """
    _check_settings(settings)
    packages.require((*_EXTRA, "onnxruntime_genai") if settings.quantize == "int4-genai" else _EXTRA, "ONNX")
    _check_source(source)
    if output.exists() and not settings.replace:
        raise HostError(
            f"{output} exists already.", hint="Choose another --output, or remove it first.", path=str(output)
        )
    parameters = source_folder.parameters(source)
    atomic.require_space(output.parent, _space(parameters, settings.quantize), f"Converting {source.name}")
    with (
        atomic.host_errors("write the converted model to", output),
        atomic.temporary_folder(output.parent.resolve()) as scratch,
    ):
        work = _Work(source.resolve(), scratch, settings.quantize, progress)
        architecture = work.make()
        loss = Loss(**work.measure())
        report = _report(source, work.ready, architecture, settings, loss)
        _judge(source, report, settings, progress)
        (work.ready / REPORT_FILE).write_bytes(report.to_bytes())
        for path in work.ready.iterdir():
            atomic.fsync_path(path)
        atomic.remove_tree(output)
        work.ready.rename(output)
    return report, ChildResult(asdict(report), work.peak, work.seconds)


class _Work:
    """The child processes of one conversion, one after the other, and what they used."""

    def __init__(self, source: Path, scratch: Path, quantize: str, progress: Progress) -> None:
        self.ready = scratch / "ready"
        self.peak = 0
        self.seconds = 0.0
        self._source = source
        self._scratch = scratch
        self._quantize = quantize
        self._progress = progress

    def make(self) -> str:
        """Convert and quantize into ``ready``; return the architecture."""
        genai, plain = self._quantize == "int4-genai", self._quantize == "none"
        export = self.ready if plain else self._scratch / "export"
        where = {"source": str(self._source), "reference": str(self._reference)}
        read = self._run("causal_lm_export", {**where, "export": None if genai else str(export)})
        if genai:
            payload = {"source": str(self._source), "target": str(self.ready), "scratch": str(self._scratch)}
            self._run("genai", {**payload, "architecture": read["architecture"]})
        elif not plain:
            payload = {"source": str(export), "target": str(self.ready), "format": self._quantize}
            self._run("causal_lm_quantize", payload)
            atomic.remove_tree(export)
        for name in _COPIED:
            if (self._source / name).is_file():
                shutil.copyfile(self._source / name, self.ready / name)
        return str(read["architecture"])

    def measure(self) -> dict[str, Any]:
        """Return the loss of what is in ``ready``, as JSON values."""
        payload = {"model": str(self.ready / MODEL_FILE), "reference": str(self._reference)}
        found: dict[str, Any] = self._run("causal_lm_check", payload)
        return found

    @property
    def _reference(self) -> Path:
        return self._scratch / "reference"

    def _run(self, module: str, payload: dict[str, Any]) -> Any:
        target = f"publicai_edge.convert.{module}:run"
        result = child.run(target, payload, what=f"convert {self._source.name} to ONNX", progress=self._progress)
        self.peak = max(self.peak, result.peak_rss_bytes)
        self.seconds += result.seconds
        return result.value


def _check_settings(settings: CausalLmSettings) -> None:
    known = get_args(Format)
    if settings.quantize not in known:
        raise RecipeError(
            f"There is no ONNX format {settings.quantize!r} for a causal model.", hint=f"Known: {', '.join(known)}."
        )
    if settings.quantize == "int8-dynamic" and not settings.force:
        raise RecipeError(
            "Dynamic int8 ruins causal language models; it has one scale for all activations of a run. Measured on "
            "SmolLM2: perplexity 1.9 times the original's, KL divergence 0.76 nats per token, and 0.41 between "
            "decoding token by token and reading at once.",
            hint="Choose int8, which quantizes the weights in blocks and loses almost nothing, or int4. To measure "
            "dynamic int8 all the same, say --force.",
        )


def _check_source(source: Path) -> None:
    source_folder.read_config(source)
    source_folder.check_weights(source)
    if not (source / "tokenizer.json").is_file():
        raise ModelError(
            f"{source} has no tokenizer.json; a kiosk reads only that form of tokenizer.",
            hint="Save it once: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER).",
        )


def _space(parameters: int, quantize: str) -> int:
    """Return the bytes that a conversion needs at most at one time, logits of the check included."""
    logits = 1 << 28
    return logits + parameters * (4 if quantize == "none" else 6)


def _report(source: Path, ready: Path, architecture: str, settings: CausalLmSettings, loss: Loss) -> CausalLmReport:
    names = (*_DISTRIBUTIONS, "onnxruntime-genai") if settings.quantize == "int4-genai" else _DISTRIBUTIONS
    return CausalLmReport(
        architecture=architecture,
        quantization=settings.quantize,
        loss=loss,
        max_kl=settings.bound,
        passed=not _faults(loss, settings),
        bytes_before=source_folder.weight_bytes(source),
        bytes_after=sum(path.stat().st_size for path in ready.glob(f"{MODEL_FILE}*")),
        versions={name: importlib.metadata.version(name) for name in names},
    )


def _faults(loss: Loss, settings: CausalLmSettings) -> list[str]:
    """Return what is over its bound, as clauses of a sentence."""
    found = []
    if not loss.mean_kl <= settings.bound:  # also true for NaN, here and below
        found.append(f"a mean KL divergence of {loss.mean_kl:.4f} nats per token to it (at most {settings.bound:g})")
    if settings.quantize == "none" and not loss.max_logit_difference <= MAX_LOGIT_DIFFERENCE:
        found.append(f"a logit {loss.max_logit_difference:.4f} away from its own (at most {MAX_LOGIT_DIFFERENCE})")
    if not loss.cache_kl <= MAX_CACHE_KL:
        found.append(f"a cache that costs {loss.cache_kl:.4f} nats per token (at most {MAX_CACHE_KL})")
    return found


def _judge(source: Path, report: CausalLmReport, settings: CausalLmSettings, progress: Progress) -> None:
    """Refuse what is over a bound, or say so where it is forced."""
    faults = _faults(report.loss, settings)
    if not faults:
        return
    loss = report.loss
    sentence = (
        f"Measured against the original, {source.name} in {settings.quantize} has {', and '.join(faults)}. The "
        f"likeliest token agrees on {loss.top_agreement:.0%}; perplexity is {loss.perplexity_ratio:.2f} times as high."
    )
    if settings.force:
        progress.warn(sentence + " It is written all the same, since that was forced.")
        return
    larger = {"int4": "int8", "int4-genai": "int4", "int8": "none", "int8-dynamic": "int8"}
    raise ModelError(
        sentence,
        hint=f"Choose {larger[settings.quantize]}, or allow more with --max-kl; --force writes it whatever the loss."
        if settings.quantize in larger
        else "The export itself should be exact: this architecture is not exported rightly. Convert it to GGUF.",
        **asdict(loss),
    )
