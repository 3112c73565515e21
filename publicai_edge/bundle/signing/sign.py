"""Sign a bundle: check it, and vouch for exactly the digests that the check found.

A signature is a file of its own at the bundle's root; nothing else of the bundle changes, so that signers after the
first sign the same list. One run at a time signs a bundle: two would take the same name for their signatures.
"""

from dataclasses import dataclass
from pathlib import Path

from publicai_edge import atomic
from publicai_edge.bundle import contents, lock
from publicai_edge.bundle.signing import envelope as envelopes
from publicai_edge.bundle.signing import names, statement
from publicai_edge.bundle.signing.envelope import Envelope
from publicai_edge.bundle.signing.pairs import PrivateKey
from publicai_edge.bundle.signing.statement import Statement
from publicai_edge.bundle.verify import Verification, verify
from publicai_edge.errors import HostError, SignatureError
from publicai_edge.progress import Progress


@dataclass(frozen=True)
class Signed:
    """A signature that was added: its file, how many there are now, and what was checked for it."""

    file: Path
    signatures: int
    checked: Verification


def sign(root: Path, key: PrivateKey, progress: Progress) -> Signed:
    """Check the bundle at ``root`` and add a signature by ``key``.

    Every file is read and hashed once, and what is signed are those digests; nothing is signed that was not checked.

    Raises:
        BundleError: the bundle is not whole.
        SignatureError: the key has signed it already, or a signature that is there is over other files.
        HostError: the signature cannot be written, or the bundle is being signed by another run.
    """
    contents.look(root)  # tells what is no folder
    busy = HostError(
        f"Another run of `publicai-edge sign` is at work on {root}.",
        hint="Wait until it has ended, and run the command again: it then adds its signature to the other one.",
    )
    with atomic.host_errors("sign", root), lock.held(root, busy):
        return _sign(root, key, progress)


def _sign(root: Path, key: PrivateKey, progress: Progress) -> Signed:
    atomic.check_target(root / names.FILES[0])
    checked = verify(root, progress)
    listed = Statement(checked.manifest.folder_name, {path: blob.sha256 for path, blob in checked.blobs.items()})
    known = _envelopes(root)
    for old in known:
        _agrees(old, listed, key)
    if len(known) == names.MOST:
        raise SignatureError(f"The bundle has {names.MOST} signatures, which is the most.")
    payload = listed.to_bytes()
    file = names.FILES[len(known)]
    made = Envelope(file, key.public.hint, payload, key.sign(envelopes.pae(payload)))
    atomic.write_bytes(root / file, made.to_bytes())
    return Signed(root / file, len(known) + 1, checked)


def signature_of(root: Path, key: PrivateKey) -> Path | None:
    """Return the signature that ``key`` made of the bundle at ``root``, or None; its files are not looked at."""
    for old in _envelopes(root):
        if key.public.signed(old.signed_bytes, old.signature):
            return root / old.file
    return None


def _envelopes(root: Path) -> list[Envelope]:
    there = [name for name in names.FILES if (root / name).exists()]
    return [envelopes.parse(contents.read(root, name, envelopes.MOST_BYTES + 1), name) for name in there]


def _agrees(old: Envelope, listed: Statement, key: PrivateKey) -> None:
    if old.hint == key.public.hint or key.public.signed(old.signed_bytes, old.signature):
        raise SignatureError(
            f"This key has signed the bundle already: {old.file}.",
            hint="A second signature is by another person's key. To sign anew, remove that file first.",
            file=old.file,
        )
    if statement.parse(old.payload, old.file).content != dict(listed.files):
        raise SignatureError(
            f"{old.file} is over other files than the bundle's: it was signed before the bundle was changed.",
            hint="Remove that file, and have the bundle signed again by all who must.",
            file=old.file,
        )
