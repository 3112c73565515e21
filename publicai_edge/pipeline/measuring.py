"""Everything that is measured of one model: each step cached, each run only when its result is asked for.

    reference model + evaluation texts  ─► reference          the unquantized model's predictions
    reference model + calibration texts ─► imatrix ─► quantize ─► loss, answers

A bound is no input of any step, so another bound costs no new measurement. The predictions of the reference are made
only when a loss has to be measured, and serve all of them.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge import digest
from publicai_edge.artifact import Blob, FileSet
from publicai_edge.corpus import Corpus
from publicai_edge.evaluate.questions import Question
from publicai_edge.evaluate.result import Answer, Measured
from publicai_edge.pipeline import candidates, corpora
from publicai_edge.pipeline.corpora import Sides
from publicai_edge.pipeline.stages import MODEL_FILE
from publicai_edge.pipeline.steps import Runner, Step, StepResult
from publicai_edge.tuning import KvType, Tuning

if TYPE_CHECKING:
    from publicai_edge.evaluate.sensitivity import Sensitivity
    from publicai_edge.quantize.mix import Mix

_LLAMA = ("llama-cpp-python", "numpy")
_QUANTIZE_CODE = ("publicai_edge.quantize", "publicai_edge.gguf")
_LOSS_CODE = (
    "publicai_edge.engine.llama",
    "publicai_edge.engine.scoring",
    "publicai_edge.evaluate.laying",
    "publicai_edge.evaluate.likelihood",
    "publicai_edge.evaluate.measure",
    "publicai_edge.evaluate.reference",
    "publicai_edge.evaluate.statistics",
)
_SENSITIVITY_CODE = (
    "publicai_edge.engine.encoding",
    "publicai_edge.engine.perturb",
    "publicai_edge.engine.scoring",
    "publicai_edge.evaluate.sensitivity",
    "publicai_edge.evaluate.weight_error",
)
_ANSWERS_CODE = (
    "publicai_edge.engine.batch",
    "publicai_edge.engine.chat",
    "publicai_edge.engine.drawing",
    "publicai_edge.engine.llama",
    "publicai_edge.engine.prefixes",
    "publicai_edge.engine.sampling",
    "publicai_edge.engine.scheduler",
    "publicai_edge.engine.slots",
    "publicai_edge.engine.text",
    "publicai_edge.evaluate.questions",
)
_IMATRIX_CODE = (*_QUANTIZE_CODE, "publicai_edge.engine.observe", "publicai_edge.corpus.balance")

_NOTICEABLE = 1.01  # a file of another's making is a little larger or smaller than one of the same type from here


@dataclass(frozen=True)
class Subject:
    """The unquantized model in the store: the file, and what the person calls it."""

    model: Blob
    name: str


@dataclass(frozen=True)
class Settings:
    """How it is measured.

    Attributes:
        context: tokens the model sees at once.
        calibrate: whether an importance matrix is collected and used.
        allow_requantize: take a reference that is quantized itself.
        answer_context: tokens of a question with its passages and its answer.
        kv_type: type of the KV cache of what is measured; the reference's is always F16.
    """

    context: int = 512
    calibrate: bool = True
    allow_requantize: bool = False
    answer_context: int = 4096
    kv_type: KvType = "f16"


@dataclass
class Measuring:
    """The measurements of one model on one split of texts; nothing runs before it is asked for."""

    runner: Runner
    subject: Subject
    sides: Sides
    settings: Settings
    questions: tuple[Question, ...] = ()
    notes: dict[str, None] = field(default_factory=dict)  # in the order they came, each once

    @cached_property
    def reference_path(self) -> Path:
        """The unquantized model's file."""
        return self.runner.store.path(self.subject.model)

    @cached_property
    def imatrix(self) -> Blob | None:
        """The importance matrix, or None when quantization is not to be calibrated."""
        if not self.settings.calibrate:
            return None
        inputs = {
            "model": self.subject.model.sha256,
            "texts": self.sides.calibration.sha256,
            "context": self.settings.context,
        }

        def run(folder: Path) -> dict[str, Any]:
            from publicai_edge.quantize import imatrix

            report = imatrix.collect(
                self.reference_path,
                corpora.load(self.runner.store, self.sides.calibration),
                folder / "imatrix.gguf",
                context=self.settings.context,
                progress=self.runner.progress,
            )
            facts = report.to_json()
            facts.pop("seconds")
            return {**facts, "measured": {"peak_rss_bytes": facts.pop("peak_rss_bytes")}}

        result = self.runner.run(Step("imatrix", _IMATRIX_CODE, _LLAMA, inputs, run))
        for note in result.facts["notes"]:
            self.runner.progress.say(f"Calibration: {note}")
        return result.files.only()

    def sizes(self, names: Sequence[str]) -> dict[str, int]:
        """Return the bytes each type's file would take, without making it."""
        from publicai_edge.quantize.predict import plan

        stock = [candidates.base(name) for name in names]
        plans = plan(self.reference_path, stock, imatrix=self._imatrix_path or False, progress=self.runner.progress)
        return {name: plans[candidates.base(name)].bytes for name in names}

    @property
    def calibrated(self) -> bool:
        """Whether an importance matrix was needed so far, and made."""
        return vars(self).get("imatrix") is not None

    @property
    def calibration_documents(self) -> frozenset[str]:
        """Digests of the documents that the importance matrix was collected on, if one was needed: not all fit."""
        from publicai_edge import gguf
        from publicai_edge.quantize.provenance import DOCUMENTS

        path = self._imatrix_path if self.calibrated else None
        return frozenset(gguf.strings(path, DOCUMENTS)) if path else frozenset()

    def larger(self, tried: Sequence[Measured]) -> dict[str, int]:
        """Return the types of :data:`candidates.DEFAULT` that take more bytes than any measured one, smallest first."""
        from publicai_edge.quantize.predict import plan

        most = max(item.bytes for item in tried) * _NOTICEABLE
        plans = plan(self.reference_path, candidates.DEFAULT, imatrix=True, progress=self.runner.progress)
        by_size = sorted(plans.values(), key=lambda found: found.bytes)
        return {found.type: found.bytes for found in by_size if found.bytes > most}

    @property
    def _imatrix_path(self) -> Path | None:
        return self.runner.store.path(self.imatrix) if self.imatrix else None

    def quantized(self, name: str) -> StepResult:
        """Return the model in a type, or with a type for each tensor."""
        base, tensor_types = name, {}
        if candidates.is_mixed(name):
            from publicai_edge.quantize import mix

            base, tensor_types = mix.BASE_TYPE, dict(self._mix(name).tensor_types)
        inputs = {
            "model": self.subject.model.sha256,
            "type": name,
            "imatrix": self.imatrix.sha256 if self.imatrix else None,
            "tensor_types": tensor_types,
            "requantize": self.settings.allow_requantize,
        }

        def run(folder: Path) -> dict[str, Any]:
            from publicai_edge.quantize import quantize

            done = quantize(
                self.reference_path,
                folder / MODEL_FILE,
                base,
                allow_requantize=self.settings.allow_requantize,
                progress=self.runner.progress,
                imatrix=self._imatrix_path,
                tensor_types=tensor_types,
            )
            facts = {"before": done.before, "bytes_before": done.bytes_before, "bytes_after": done.bytes_after}
            return {**facts, "type": name, "measured": {"peak_rss_bytes": done.peak_rss_bytes}}

        return self.runner.run(Step("quantize", _QUANTIZE_CODE, _LLAMA, inputs, run))

    def _mix(self, name: str) -> "Mix":
        """Give each tensor its type, in the bytes that the stock type would take."""
        from publicai_edge import gguf
        from publicai_edge.quantize import mix

        sensitivity = self._sensitivity
        self.notes.update(dict.fromkeys(sensitivity.notes))
        choices = mix.candidates(gguf.read(self.reference_path), sensitivity.losses)
        if candidates.is_fast(name):
            choices = mix.only(choices, mix.FAST_TYPES)
        fixed = mix.fixed_bytes(self.reference_path, choices, self._imatrix_path)
        return mix.assign(choices, self.sizes([name])[name], fixed=fixed)

    @cached_property
    def _sensitivity(self) -> "Sensitivity":
        """What quantizing each tensor alone costs, on the calibration texts."""
        from publicai_edge.evaluate.sensitivity import Sensitivity, measure
        from publicai_edge.quantize import mix

        inputs = {
            "model": self.subject.model.sha256,
            "imatrix": self.imatrix.sha256 if self.imatrix else None,
            "texts": self.sides.calibration.sha256,
        }
        store = self.runner.store
        state = store.partial / f"sensitivity-{digest.of_json(inputs)}.json"

        def run(_folder: Path) -> dict[str, Any]:
            state.parent.mkdir(parents=True, exist_ok=True)
            documents = corpora.load(store, self.sides.calibration).documents
            found = measure(
                self.reference_path,
                self._imatrix_path,
                documents,
                state,
                self.runner.progress,
                tensors=mix.quantizable(self.reference_path),
            )
            state.unlink(missing_ok=True)
            return {"sensitivity": {**found.to_json(), "seconds": 0.0}}

        result = self.runner.run(Step("sensitivity", _SENSITIVITY_CODE, _LLAMA, inputs, run))
        return Sensitivity.from_json(result.facts["sensitivity"])

    def loss(self, name: str, model: Blob) -> StepResult:
        """Return what a model lost in every language; its facts are ``languages`` and ``notes``."""
        inputs = {
            "reference": self.subject.model.sha256,
            "model": model.sha256,
            "texts": self.sides.evaluation.sha256,
            "context": self.settings.context,
            "kv_type": self.settings.kv_type,
        }

        def run(_folder: Path) -> dict[str, Any]:
            from publicai_edge.evaluate.measure import measure
            from publicai_edge.evaluate.reference import ReferenceFile

            reference = ReferenceFile.open(self._predictions())
            with self._named(name, model) as path:
                documents, kv_type = self._evaluation.documents, self.settings.kv_type
                found = measure(reference, path, documents, kv_type=kv_type, progress=self.runner.progress)
            facts = {"languages": [asdict(language) for language in found.languages], "notes": list(found.notes)}
            return {**facts, "measured": {"peak_rss_bytes": found.peak_rss_bytes}}

        return self.runner.run(Step("loss", _LOSS_CODE, _LLAMA, inputs, run))

    def measured(self, name: str, model: Blob) -> Measured:
        """Return everything measured of a model under the name of its type."""
        facts = self.loss(name, model).facts
        self.notes.update(dict.fromkeys(facts["notes"]))
        value = {"name": name, "sha256": model.sha256, "bytes": model.size, "answers": [], **facts}
        return replace(Measured.from_json(value), answers=self._compared(name, model))

    def _compared(self, name: str, model: Blob) -> tuple[Answer, ...]:
        from publicai_edge.evaluate.questions import compare

        if not self.questions:
            return ()
        return compare(self.questions, self.answers(self.subject.name, self.subject.model), self.answers(name, model))

    def answers(self, name: str, model: Blob) -> tuple[str, ...]:
        """Return a model's answers to the questions, in their order."""
        asked = [asdict(question) for question in self.questions]
        kv_type = Tuning.kv_type if model == self.subject.model else self.settings.kv_type
        context = self.settings.answer_context
        inputs = {"model": model.sha256, "questions": asked, "context": context, "kv_type": kv_type}

        def run(_folder: Path) -> dict[str, Any]:
            from publicai_edge.evaluate.questions import answer

            with self._named(name, model) as path:
                progress = self.runner.progress
                given = answer(path, self.questions, context=context, kv_type=kv_type, progress=progress)
            return {"answers": list(given)}

        return tuple(self.runner.run(Step("answers", _ANSWERS_CODE, _LLAMA, inputs, run)).facts["answers"])

    @contextmanager
    def _named(self, name: str, model: Blob) -> Iterator[Path]:
        """Yield a model under a name that tells a person which it is: progress and errors say it."""
        with self.runner.store.scratch() as folder:
            file_name = re.sub(r"[^\w.-]+", "-", name) + ".gguf"
            self.runner.store.checkout(FileSet({file_name: model}), folder)
            yield folder / file_name

    @cached_property
    def _evaluation(self) -> Corpus:
        return corpora.load(self.runner.store, self.sides.evaluation)

    def _predictions(self) -> Path:
        """Return the file of what the unquantized model says of the evaluation texts."""
        inputs = {
            "model": self.subject.model.sha256,
            "texts": self.sides.evaluation.sha256,
            "context": self.settings.context,
        }

        def run(folder: Path) -> dict[str, Any]:
            from publicai_edge.evaluate.reference import make_reference

            made = make_reference(
                folder / "reference",
                self.reference_path,
                self._evaluation.documents,
                context=self.settings.context,
                sha256=self.subject.model.sha256,
                progress=self.runner.progress,
            )
            return {"tokens": made.scored}

        result = self.runner.run(Step("reference", _LOSS_CODE, _LLAMA, inputs, run))
        return self.runner.store.path(result.files.only())
