"""Whether a bundle is accepted on this machine: signed by whom it trusts, whole, and within the time it is good for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from publicai_edge.bundle import bag, validity
from publicai_edge.bundle.install.layout import Identity
from publicai_edge.bundle.signing.trust import TrustedKey
from publicai_edge.bundle.verify import Verification, verify
from publicai_edge.errors import SignatureError
from publicai_edge.progress import Progress


@dataclass(frozen=True)
class Acceptance:
    """The check of an installation.

    Attributes:
        progress: told the bytes that are read.
        keys: who may vouch for a bundle.
        unsigned: whether a bundle is taken that nobody vouches for.
    """

    progress: Progress
    keys: Sequence[TrustedKey]
    unsigned: bool = False

    def __call__(self, root: Path) -> Identity:
        """Check every byte of the bundle at ``root`` and who vouches for it.

        Raises:
            SignatureError: no trusted key does, or too few.
            ExpiredError: its last day has passed.
            BundleError: it is not whole.
        """
        if not self.keys and not self.unsigned:
            raise SignatureError(
                "No key is trusted on this machine, so nobody can vouch for the bundle.",
                hint="`publicai-edge trust add FILE --name NAME` with the public key of its steward; or --unsigned, if "
                "you know by another way where the bundle comes from. That is written into the log.",
            )
        found = verify(root, self.progress, None if self.unsigned else self.keys)
        validity.require_valid(found.manifest)
        return identity(found)


def whole(root: Path, progress: Progress) -> Identity:
    """Check every byte of a bundle that was accepted before; who vouched for it was asked then."""
    return identity(verify(root, progress))


def identity(found: Verification) -> Identity:
    """Return what a verified bundle says it is."""
    manifest = found.manifest
    return Identity(
        manifest.name,
        manifest.version,
        manifest.release,
        found.blobs[bag.TAG_MANIFEST].sha256,
        tuple(key.fingerprint for key in found.signers),
    )
