"""Check a bundle: who vouches for it, that every byte is as it was vouched for, and that nothing else is there.

Verification raises or reports; there is no quiet False. The order is: the signatures over the list of digests; then
every file's digest, each file read once, on all cores; then the bag's manifests against the same digests; and last
``bundle.json``, parsed from the very bytes that were hashed. Nothing of a signed bundle is parsed before a trusted key
has vouched for its bytes, and nothing of any bundle is run.

Without keys the bag's manifests take the signed list's place: the bundle is whole then, and nobody vouches for it.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from publicai_edge import digest
from publicai_edge.artifact import Blob
from publicai_edge.bundle import bag, contents
from publicai_edge.bundle.contents import Listing
from publicai_edge.bundle.signing import check as signatures
from publicai_edge.bundle.signing import envelope, names
from publicai_edge.bundle.signing.trust import TrustedKey, TrustStore
from publicai_edge.errors import BundleError, SignatureError
from publicai_edge.progress import Progress

if TYPE_CHECKING:
    from publicai_edge.bundle.manifest import Manifest

MANIFEST = "bundle.json"
_LISTS = (bag.TAG_MANIFEST, bag.PAYLOAD_MANIFEST)
_PARSED = (*_LISTS, MANIFEST)


@dataclass(frozen=True)
class Verification:
    """A bundle that holds.

    Attributes:
        manifest: its ``bundle.json``.
        files: how many files were checked, without the signatures.
        bytes: their size.
        signers: the keys that were asked for and vouch for it; empty where no key was asked for.
        strangers: fingerprints that its other signatures name; nobody checked those.
        blobs: digest and size of every file, by path.
    """

    manifest: "Manifest"
    files: int
    bytes: int
    signers: tuple[TrustedKey, ...] = ()
    strangers: tuple[str, ...] = ()
    blobs: Mapping[str, Blob] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Glance:
    """What a bundle says of itself, vouched for as far as a signature goes; nothing else of it was read.

    Attributes:
        manifest: its ``bundle.json``.
        tag: SHA-256 of its tag manifest.
        signers: as of :class:`Verification`.
    """

    manifest: "Manifest"
    tag: str
    signers: tuple[TrustedKey, ...]


def verify(
    root: Path, progress: Progress, keys: Sequence[TrustedKey] | None = None, require: int | None = None
) -> Verification:
    """Check the bundle at ``root``.

    Args:
        root: its folder.
        progress: told the bytes.
        keys: who may vouch for it; None asks for no signature, an empty list for one that nobody can give.
        require: how many different ones of them must have signed; by default as many as the bundle itself asks for,
            and one at least. A bundle that asks for more than this needs as many as it asks for.

    Raises:
        SignatureError: too few of the keys signed, a signature is malformed or forged, or the signed list is not that
            of the bag.
        BundleError: anything was changed, is missing or was added; ``facts`` lists every file of each kind.
    """
    listing = contents.look(root)
    _refuse_git(root, listing)
    signed = signatures.check(_signature_files(root, listing), keys or ())
    if not signed.envelopes:
        _has_lists(root, listing.files)  # of what is no bundle, or half of one, it is no use to say that it is unsigned
    if keys is not None:
        signatures.demand(signed, keys, max(1, require or 1))
    elif require:
        raise SignatureError(
            f"{require} signature(s) are asked for, and no key is trusted on this machine.",
            hint="`publicai-edge trust add FILE --name NAME`, with the public key of the bundle's steward.",
        )
    parsed = {path: contents.read(root, path) for path in _PARSED if path in listing.files}
    expected = signed.content if signed.content is not None else _bag(root, parsed)
    blobs = _hash(root, listing, expected, parsed, progress)
    _compare(root, listing, expected, blobs, signed=signed.content is not None)
    if signed.content is not None:
        _same_as_bag(root, expected, _bag(root, parsed))
    if MANIFEST not in parsed:
        raise BundleError(
            f"There is no {MANIFEST} in {root}: not a bundle.",
            hint="Give the folder that holds START-HERE.html.",
            missing=[MANIFEST],
        )
    manifest = _manifest(root, parsed[MANIFEST], blobs)
    if keys is not None:
        signatures.demand(signed, keys, manifest.signatures_required)
    size = sum(blob.size for blob in blobs.values())
    return Verification(manifest, len(blobs), size, signed.signers, signed.strangers, blobs)


def glance(root: Path, keys: Sequence[TrustedKey] | None = None) -> "Glance | None":
    """Judge the bundle at ``root`` by its signatures, lists and ``bundle.json`` alone, before it is copied.

    What is refused here :func:`verify` refuses too; what passes still has to be verified.

    Args:
        root: its folder.
        keys: as for :func:`verify`.

    Returns:
        None where a list or ``bundle.json`` is missing or not as it was listed, which is for :func:`verify` to tell.

    Raises:
        SignatureError: as :func:`verify`.
        BundleError: the folder cannot be read.
    """
    listing = contents.look(root)
    signed = signatures.check(_signature_files(root, listing), keys or ())
    if not all(name in listing.files for name in _PARSED):
        return None
    if keys is not None:
        signatures.demand(signed, keys, 1)
    parsed = {path: contents.read(root, path) for path in _PARSED}
    try:
        expected = signed.content if signed.content is not None else _bag(root, parsed)
        if any(expected.get(path) != digest.of_bytes(data) for path, data in parsed.items()):
            return None
        manifest = _parse(root, parsed[MANIFEST])
    except BundleError:
        return None
    if keys is not None:
        signatures.demand(signed, keys, manifest.signatures_required)
    return Glance(manifest, expected[bag.TAG_MANIFEST], signed.signers)


def verify_here(
    root: Path, progress: Progress, store: TrustStore | None = None, require: int | None = None
) -> Verification:
    """Check the bundle at ``root`` by what this machine asks for: the keys it trusts, where it trusts any.

    Where it trusts none, ``signers`` is empty, and a bundle that itself asks for signatures is refused.

    Raises:
        SignatureError, BundleError: as :func:`verify`.
    """
    keys = (store or TrustStore()).keys()
    found = verify(root, progress, keys or None, require)
    if not keys and found.manifest.signatures_required:
        raise SignatureError(
            f"The bundle asks to be accepted with {found.manifest.signatures_required} signature(s) only, and no key "
            "is trusted on this machine: its files are whole, and nobody is known to vouch for them.",
            hint="`publicai-edge trust add FILE --name NAME`, with the public key of the bundle's steward.",
            required=found.manifest.signatures_required,
        )
    return found


def _refuse_git(root: Path, listing: Listing) -> None:
    if found := contents.shown(listing.git):
        raise BundleError(
            f"The bundle {root} holds {', '.join(found[:5])}: files of git are no part of a bundle, and other "
            "verifiers would not look at them.",
            hint="Do not use it. Copy the bundle again from where it came.",
            added=found,
        )


def _signature_files(root: Path, listing: Listing) -> dict[str, bytes]:
    # A link in the place of a signature is listed as strange and thus as added.
    return {name: contents.read(root, name, envelope.MOST_BYTES + 1) for name in names.FILES if name in listing.files}


def _has_lists(root: Path, files: Container[str]) -> None:
    for name in _LISTS:
        if name not in files:
            raise BundleError(
                f"{root} has no {name}: not a bundle, or not a whole one.",
                hint="Give the folder that holds START-HERE.html, or copy the bundle again.",
                missing=[name],
            )


def _bag(root: Path, parsed: Mapping[str, bytes]) -> dict[str, str]:
    """Return every file the bag's manifests list, with its digest; the payload manifest is itself listed.

    The tag manifest, which lists everything else in the end, is given the digest it has.
    """
    _has_lists(root, parsed)
    listed: dict[str, str] = {}
    for name in _LISTS:
        listed |= bag.parse_manifest(parsed[name], name)
    listed[bag.TAG_MANIFEST] = digest.of_bytes(parsed[bag.TAG_MANIFEST])
    return listed


def _hash(
    root: Path, listing: Listing, expected: Mapping[str, str], parsed: Mapping[str, bytes], progress: Progress
) -> dict[str, Blob]:
    """Hash the files that are expected and there; what was read to be parsed is not read again."""
    blobs = {path: Blob(digest.of_bytes(data), len(data)) for path, data in parsed.items() if path in expected}
    sizes = {path: size for path, size in listing.files.items() if path in expected and path not in blobs}
    return blobs | contents.hash_all(root, sizes, progress)


def _compare(
    root: Path, listing: Listing, expected: Mapping[str, str], blobs: Mapping[str, Blob], *, signed: bool
) -> None:
    wanted = {str(parent) for path in expected for parent in PurePosixPath(path).parents}
    there = set(listing.files) | listing.strange
    changed = [path for path, blob in blobs.items() if blob.sha256 != expected[path]]
    changed += [path for path in listing.strange if path in expected]
    missing = set(expected) - there
    added = there - set(expected) - (set(names.FILES) & set(listing.files))
    added |= {f"{path}/" for path in listing.folders if path not in wanted}
    if changed or missing or added:
        raise _differs(root, *map(contents.shown, (changed, missing, added)), signed=signed)


def _differs(root: Path, changed: list[str], missing: list[str], added: list[str], *, signed: bool) -> BundleError:
    lines = []
    for what, paths in (("changed", changed), ("missing", missing), ("added", added)):
        for path in paths:
            # Nothing but a signature vouches for the tag manifest, so a tag file's line there may be what changed.
            tag = what == "changed" and not signed and not path.startswith(bag.PAYLOAD)
            lines.append(f"  {what}: {path}" + (f" (or its line in {bag.TAG_MANIFEST})" if tag else ""))
    count = len(changed) + len(missing) + len(added)
    return BundleError(
        f"The bundle {root} is not what was {'signed' if signed else 'built'}; {count} file(s) differ:\n"
        + "\n".join(lines),
        hint="Do not use it. Copy the bundle again from where it came; if it differs again, ask its steward.",
        changed=changed,
        missing=missing,
        added=added,
    )


def _same_as_bag(root: Path, signed: Mapping[str, str], listed: Mapping[str, str]) -> None:
    if differing := contents.shown(path for path in {*signed, *listed} if signed.get(path) != listed.get(path)):
        raise SignatureError(
            f"The signed list of {root} and the manifests of its bag disagree on {', '.join(differing[:5])}.",
            hint="It was signed when it was not whole. Ask its steward to build and sign it again.",
            changed=differing,
        )


def _manifest(root: Path, data: bytes, blobs: Mapping[str, Blob]) -> "Manifest":
    """Parse ``bundle.json``, and see that it speaks of the files that are really here."""
    manifest = _parse(root, data)
    model = manifest.model
    for path, sha256 in {model.file: model.sha256, **model.parts}.items():
        recorded, found = digest.check(sha256), blobs.get(path)
        if found is None or found.sha256 != recorded:
            raise BundleError(
                f"{MANIFEST} names model sha256:{recorded[:12]}…, and {path} here is "
                f"{f'sha256:{found.sha256[:12]}…' if found else 'missing'}.",
                hint="The bundle was put together from two different ones. Ask its steward for a whole one.",
            )
    if missing := [path for path in manifest.needed() if not _is_there(path, blobs)]:
        raise BundleError(
            f"The bundle {root} lacks {', '.join(missing)}, which its {MANIFEST} names.",
            hint="Ask its steward for a whole one.",
            missing=missing,
        )
    return manifest


def _parse(root: Path, data: bytes) -> "Manifest":
    from publicai_edge.bundle import manifest as bundle_manifest

    return bundle_manifest.parse(data, str(root / MANIFEST))


def _is_there(path: str, blobs: Mapping[str, Blob]) -> bool:
    return path in blobs or any(known.startswith(f"{path}/") for known in blobs)
