"""Who vouches for a bundle that runs: its signatures, by the keys this machine trusts, over its two short lists.

That is not a verification: of the files, only ``bundle.json`` and the tag manifest, which names all others, are held
against what was signed. It takes milliseconds, so that a kiosk can tell it while it runs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from publicai_edge import digest
from publicai_edge.bundle import bag, contents
from publicai_edge.bundle.manifest import FILE_NAME
from publicai_edge.bundle.signing import check, envelope, names
from publicai_edge.bundle.signing.trust import TrustStore
from publicai_edge.errors import PublicAIError

State = Literal["signed", "strange", "unsigned", "broken"]


@dataclass(frozen=True)
class Vouching:
    """What is known.

    Attributes:
        state: "signed" by a key that is trusted here; "strange", by others only; "unsigned"; or "broken", where a
            signature does not hold or is over another bundle.
        signers: the names of the trusted keys.
    """

    state: State
    signers: tuple[str, ...] = ()


def of(root: Path, store: TrustStore | None = None) -> Vouching:
    """Return who vouches for the bundle at ``root``."""
    there = [name for name in names.FILES if (root / name).exists()]
    if not there:
        return Vouching("unsigned")
    try:
        files = {name: contents.read(root, name, envelope.MOST_BYTES + 1) for name in there}
        found = check.check(files, (store or TrustStore()).keys())
        if found.content is None:
            return Vouching("strange")
        listed = all(
            found.content.get(name) == digest.of_bytes(contents.read(root, name))
            for name in (FILE_NAME, bag.TAG_MANIFEST)
        )
    except PublicAIError:
        return Vouching("broken")
    return Vouching("signed", tuple(key.name for key in found.signers)) if listed else Vouching("broken")
