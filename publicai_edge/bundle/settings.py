"""Change the engine settings of a bundle where it lies, and nothing else of it.

What a patron is answered depends on none of them, so no file of the payload changes: only ``bundle.json``, and its line
in the tag manifest. Each is replaced in one step; a bundle whose writing ended between the two is mended by the next.
"""

from dataclasses import replace
from typing import Any

from publicai_edge import atomic, digest
from publicai_edge.artifact import Blob
from publicai_edge.bundle import bag
from publicai_edge.bundle.manifest import FILE_NAME
from publicai_edge.bundle.open import Bundle
from publicai_edge.bundle.signing import names
from publicai_edge.errors import BundleError
from publicai_edge.tuning import Tuning

FREE = ("threads", "batch", "ubatch", "drafts")
"""The settings that change neither answers nor the stored states of the service prompts."""


def change(bundle: Bundle, tuning: Tuning, tuned_on: str) -> Bundle:
    """Write the settings of :data:`FREE` into a bundle, and the machine that they were found on.

    Raises:
        BundleError: the bundle's tag manifest is missing or damaged.
        HostError: the bundle cannot be written to.
    """
    listed = _tags(bundle)
    engine = bundle.manifest.engine
    values: dict[str, Any] = {name: getattr(tuning, name) for name in FREE}
    engine = engine.model_copy(update={"tuning": replace(engine.tuning, **values), "tuned_on": tuned_on})
    manifest = bundle.manifest.model_copy(update={"engine": engine})
    data = manifest.to_bytes()
    listed[FILE_NAME] = digest.of_bytes(data)
    with atomic.host_errors("write", bundle.root / FILE_NAME):
        atomic.write_bytes(bundle.root / FILE_NAME, data)
        tags = {path: Blob(sha256, 0) for path, sha256 in listed.items()}
        atomic.write_bytes(bundle.root / bag.TAG_MANIFEST, bag.manifest(tags))
    return Bundle(bundle.root, manifest)


def check(bundle: Bundle) -> None:
    """See that a bundle's settings can be changed, before anything is measured for it.

    Raises:
        BundleError: it is signed.
        BundleError, HostError: as :func:`change`.
    """
    if signed := names.present(path.name for path in bundle.root.iterdir()):
        raise BundleError(
            f"{bundle.root} is signed ({signed[0]}): with other settings its signature would not hold any more.",
            hint="Tune the recipe or an unsigned copy, and sign what comes of it.",
        )
    _tags(bundle)
    atomic.check_target(bundle.root / FILE_NAME)


def _tags(bundle: Bundle) -> dict[str, str]:
    place = bundle.root / bag.TAG_MANIFEST
    try:
        data = place.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{place} cannot be read ({error.strerror}), so the bundle could not be verified any more.",
            hint="Copy the bundle again from where it came.",
        ) from error
    return bag.parse_manifest(data, place.name)
