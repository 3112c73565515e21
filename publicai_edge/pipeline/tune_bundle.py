"""From a bundle to the settings that are fastest on this machine, written into the bundle where it lies.

Only what changes no answer and no stored state is searched: threads, batch and micro-batch, drafts. The type of the
weights, that of the KV cache and flash attention belong to the build: tune the recipe for them.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from publicai_edge import digest, gguf
from publicai_edge.bench import machine
from publicai_edge.bundle import settings
from publicai_edge.bundle.open import Bundle
from publicai_edge.errors import BundleError
from publicai_edge.kept import Kept
from publicai_edge.pipeline import tune_duration
from publicai_edge.pipeline.tune_recipe import PROTOCOL, Wanted, beside, check_busy, device_in_words
from publicai_edge.progress import Progress
from publicai_edge.tune import features, measure
from publicai_edge.tune.duration import Reading
from publicai_edge.tune.features import Features
from publicai_edge.tune.search import Found, Search
from publicai_edge.tune.space import Space
from publicai_edge.tuning import Tuning


@dataclass(frozen=True)
class Outcome:
    """What was found and is now in the bundle."""

    bundle: Bundle
    found: Found
    features: Features
    seconds: float


def tune(bundle: Bundle, wanted: Wanted, progress: Progress) -> Outcome:
    """Search, and write what was found into the bundle.

    Raises:
        BundleError: its model is in ONNX, or it is damaged.
        HostError: it cannot be written to.
        PublicAIError: of the class of whatever else went wrong.
    """
    began, info = time.monotonic(), bundle.manifest
    if info.engine.name != "llama":
        raise BundleError(
            f"The model in {bundle.root} is in ONNX; there is nothing to tune.", hint="Only GGUF models can be tuned."
        )
    settings.check(bundle)
    check_busy(wanted)
    now = info.engine.tuning
    fixed = {"kv_type": now.kv_type, "flash_attention": now.flash_attention}
    space = Space.of(("",), fixed=fixed, prompt=wanted.work.prompt)
    place = bundle.root.with_name(f".{bundle.root.name}.tuned.part")
    known = [PROTOCOL, machine.facts(), asdict(wanted), info.model.sha256, repr(space)]
    kept = Kept.open(place, digest.of_json(known))

    def measured(_type: str, tunings: Sequence[Tuning], read: int, write: int) -> list[measure.Sample]:
        return measure.measure(bundle.model_path, tunings, read=read, write=write)

    header = gguf.read(bundle.model_path)
    progress.say(
        tune_duration.told(space, wanted.work, wanted.seconds, busy=wanted.busy, header=header, reading=Reading())
    )
    with beside(wanted, progress):
        search = Search(space, wanted.work, measured, lambda *_: True, kept, seconds=wanted.seconds, progress=progress)
        found = search.run()
        prompts = [text for service in info.services for text in service.prompt.values()]
        extra = features.measure(bundle.model_path, found.point.tuning, prompts)
    tuning = replace(found.point.tuning, drafts=extra.drafts)
    changed = settings.change(bundle, tuning, device_in_words())
    kept.done()
    return Outcome(changed, found, extra, time.monotonic() - began)
