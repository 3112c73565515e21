"""Whether a bundle is accepted on this machine: signed by whom it trusts, whole, and within the time it is good for."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from publicai_edge.bundle import bag, validity
from publicai_edge.bundle.install.layout import Identity, version_of
from publicai_edge.bundle.signing.trust import TrustedKey
from publicai_edge.bundle.verify import Verification, glance, verify
from publicai_edge.errors import SignatureError
from publicai_edge.progress import Progress

if TYPE_CHECKING:
    from publicai_edge.bundle.manifest import Manifest


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
        self._require_somebody()
        found = verify(root, self.progress, None if self.unsigned else self.keys)
        validity.require_valid(found.manifest)
        return identity(found)

    def foresee(self, root: Path | None) -> Identity | None:
        """Refuse the bundle at ``root``, before it is copied, for what is known without reading its files.

        Args:
            root: None where it lies in no folder yet: then only who could vouch for it is asked.

        Returns:
            What it says it is, where that can be told; it still has to be checked.

        Raises:
            SignatureError, ExpiredError: as for the check.
        """
        self._require_somebody()
        found = glance(root, None if self.unsigned else self.keys) if root is not None else None
        if found is None:
            return None
        validity.require_valid(found.manifest)
        return _identity(found.manifest, found.tag, found.signers)

    def _require_somebody(self) -> None:
        if not self.keys and not self.unsigned:
            raise SignatureError(
                "No key is trusted on this machine, so nobody can vouch for the bundle.",
                hint="`publicai-edge trust add FILE --name NAME` with the public key of its steward; or --unsigned, if "
                "you know by another way where the bundle comes from. That is written into the log.",
            )


@dataclass(frozen=True)
class Return:
    """The check of a rollback: the version gone back to must be one that would be taken as to who signed it.

    It was accepted when it came, and a key may have been taken out of the trusted ones since. Its last day is told and
    no more: nothing is brought onto the machine, and a kiosk whose new version fails needs the old one.

    Attributes:
        progress: told the bytes that are read, and warned.
        keys: who may vouch for it today.
        unsigned: whether a version is taken that nobody vouches for.
    """

    progress: Progress
    keys: Sequence[TrustedKey]
    unsigned: bool = False

    def __call__(self, root: Path) -> Identity:
        """Check every byte of the kept version at ``root``, a folder below ``versions/``, and who vouches for it.

        Raises:
            SignatureError: no trusted key does, or too few.
            BundleError: it is not whole.
        """
        try:
            found = verify(root, self.progress, None if self.unsigned else self.keys)
        except SignatureError as error:
            if "required" not in error.facts:  # malformed or forged, which no key that is added mends
                raise
            raise self._refusal(root, error) from error
        if warning := validity.of(found.manifest).warning:
            self.progress.warn(warning)
        return identity(found)

    @staticmethod
    def _refusal(root: Path, error: SignatureError) -> SignatureError:
        by_others = ", ".join(error.facts["strangers"])
        again = f"If {by_others} is to count here: `publicai-edge trust add FILE --name NAME`. " if by_others else ""
        return SignatureError(
            f"Version {version_of(root.name)} is kept here and not gone back to. {error.message}",
            hint=f"{again}Or install a bundle that a trusted key signed; or --unsigned, if you know by another way "
            "that this version is good. That is written into the log.",
            **error.facts,
        )


def identity(found: Verification) -> Identity:
    """Return what a verified bundle says it is."""
    return _identity(found.manifest, found.blobs[bag.TAG_MANIFEST].sha256, found.signers)


def _identity(manifest: "Manifest", tag: str, signers: Sequence[TrustedKey]) -> Identity:
    return Identity(
        manifest.name, manifest.version, manifest.release, tag, tuple(signer.fingerprint for signer in signers)
    )
