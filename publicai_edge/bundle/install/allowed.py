"""May this bundle take the place of what was installed before? Pure decisions.

A signature does not stop somebody from bringing an older signed bundle back, with the faults that the newer one mended.
So release numbers only rise, counted from the highest that was ever installed: a rollback does not reopen the way. Two
different bundles with one release number cannot be told apart by age, so the second is refused too.
"""

from publicai_edge.bundle.install.history import Highest
from publicai_edge.bundle.install.layout import Identity
from publicai_edge.errors import BundleError

OVERRIDE = "--allow-downgrade REASON"


def check(new: Identity, known: Highest, reason: str | None, in_use: str | None = None) -> bool:
    """Return whether installing ``new`` goes back, which ``reason`` allows.

    Args:
        new: what is to be installed.
        known: the highest release that ever was.
        reason: why it may go back.
        in_use: SHA-256 of the tag manifest of what is in use; to put the very same in its place mends it.

    Raises:
        BundleError: it goes back, and there is no reason.
    """
    problem = _problem(new, known) if new.tag != in_use else None
    if problem and not reason:
        raise BundleError(
            f"{problem} Somebody may be bringing back an old bundle whose faults are known.",
            hint=f"Ask the steward for a bundle with a higher release number. If this is meant, {OVERRIDE} installs it "
            "and writes the reason into the log.",
            release=new.release,
            highest=known.release,
        )
    return problem is not None


def _problem(new: Identity, known: Highest) -> str | None:
    if new.release < known.release:
        return f"{new.name} {new.version} is release {new.release}, and release {known.release} was installed here."
    if new.release == known.release and known.tag not in {None, new.tag}:
        return f"{new.name} {new.version} has the release number {new.release} of a different bundle installed here."
    return None
