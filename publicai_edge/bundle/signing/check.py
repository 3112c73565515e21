"""Who signed a bundle: the signature files against the keys, before anything else of the bundle is read.

Rules, each in favour of refusing:

- a signature file that is malformed, or that a trusted key made and that does not hold, ends the check;
- a signature by a key that is not among those asked for counts for nothing, and is told of;
- one key counts once, however many signatures it made;
- all who count must have signed the same files with the same digests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from publicai_edge.bundle.signing import envelope as envelopes
from publicai_edge.bundle.signing import names, statement
from publicai_edge.bundle.signing.envelope import Envelope
from publicai_edge.bundle.signing.trust import TrustedKey
from publicai_edge.errors import SignatureError


@dataclass(frozen=True)
class Checked:
    """What the signatures say.

    Attributes:
        envelopes: the signature files, in order.
        signers: the trusted keys that vouch for ``content``.
        strangers: fingerprints that further signatures name; nobody checked those.
        content: SHA-256 (hex) of every file by its path, as signed; None where no trusted key signed.
    """

    envelopes: tuple[Envelope, ...]
    signers: tuple[TrustedKey, ...]
    strangers: tuple[str, ...]
    content: Mapping[str, str] | None


def check(files: Mapping[str, bytes], keys: Sequence[TrustedKey]) -> Checked:
    """Check signature files (content by name) against ``keys``.

    Raises:
        SignatureError: one is malformed or forged, there is a gap in their numbers, or two signers disagree.
    """
    found = tuple(envelopes.parse(files[name], name) for name in _in_order(files))
    signers: list[TrustedKey] = []
    strangers: list[str] = []
    content: dict[str, str] | None = None
    for envelope in found:
        signer = _signer(envelope, keys)
        if signer is None:
            strangers.append(f"sha256:{envelope.hint}" if envelope.hint else "an unnamed key")
            continue
        signed = statement.parse(envelope.payload, envelope.file).content
        if content is not None and signed != content:
            raise SignatureError(
                f"{envelope.file}, by {signer.name}, is not over the same files as the signature of {signers[0].name}.",
                hint="Both must sign the same bundle. Ask its steward for one that they did.",
            )
        content = signed
        if signer.fingerprint not in {known.fingerprint for known in signers}:
            signers.append(signer)
    return Checked(found, tuple(signers), tuple(strangers), content)


def demand(checked: Checked, keys: Sequence[TrustedKey], required: int) -> None:
    """See that enough of ``keys`` signed.

    Raises:
        SignatureError: fewer than ``required`` did.
    """
    if len(checked.signers) >= required:
        return
    facts = {
        "required": required,
        "signers": [signer.fingerprint for signer in checked.signers],
        "strangers": list(checked.strangers),
    }
    if not checked.envelopes:
        raise SignatureError(
            "The bundle is not signed, and a signature is asked for.",
            hint="Ask its steward for the signed one; a steward signs with `publicai-edge sign BUNDLE --key FILE`.",
            **facts,
        )
    strange = ", ".join(checked.strangers)
    by_others = f" It is also signed by {strange}, not trusted here." if strange else ""
    if not checked.signers:
        asked = ", ".join(key.name for key in keys) or "none"
        raise SignatureError(
            f"None of the trusted keys ({asked}) signed the bundle; it is signed by {strange}.",
            hint="Compare that fingerprint with the steward's, by telephone or letter. If it is theirs: "
            "`publicai-edge trust add FILE --name NAME`, or give that key's file where --public-key was given.",
            **facts,
        )
    who = ", ".join(signer.name for signer in checked.signers)
    raise SignatureError(
        f"The bundle needs the signatures of {required} different trusted keys, and has {len(checked.signers)}: "
        f"{who}.{by_others}",
        hint="Ask its steward for the bundle with every signature, and see with `publicai-edge trust list` that the "
        "keys of all who sign are trusted here.",
        **facts,
    )


def _in_order(files: Mapping[str, bytes]) -> tuple[str, ...]:
    found = names.present(files)
    if found != names.FILES[: len(found)]:
        lost = next(name for name in names.FILES if name not in found)
        raise SignatureError(
            f"There is a {found[-1]} and no {lost}: a signature was taken away or renamed.",
            hint="Copy the bundle again from where it came.",
            missing=[lost],
        )
    return found


def _signer(envelope: Envelope, keys: Sequence[TrustedKey]) -> TrustedKey | None:
    """Return whose signature it is; None for a key that is not among ``keys``."""
    for trusted in keys:
        if envelope.hint is None:  # an old signer, that does not say who it is: try them all
            if trusted.key.signed(envelope.signed_bytes, envelope.signature):
                return trusted
        elif envelope.hint == trusted.key.hint:
            if not trusted.key.signed(envelope.signed_bytes, envelope.signature):
                raise SignatureError(
                    f"{envelope.file} says that {trusted.name} made it, and that is not true: "
                    "the signature does not hold.",
                    hint="Do not use the bundle. Copy it again from where it came; if it stays so, ask its steward.",
                    file=envelope.file,
                )
            return trusted
    return None
