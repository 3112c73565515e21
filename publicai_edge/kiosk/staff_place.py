"""Where a kiosk keeps what staff add: in a folder of its own, never in the bundle.

It is named after the bundle, so that it stays with it through updates and rollbacks, wherever the bundle lies. A
service is told its folder by its unit (:mod:`publicai_edge.bundle.install.unit`), by way of the variable.
"""

import os
from pathlib import Path

VARIABLE = "PUBLICAI_EDGE_DOCUMENTS"
PASSAGES = "passages"
"""The folder in it for what the model has computed of passages."""


def place_of(name: str, chosen: Path | None = None) -> Path:
    """Return the folder for a bundle called ``name``: chosen, else the variable's, else its default."""
    if chosen is not None:
        return chosen.expanduser().absolute()
    if given := os.environ.get(VARIABLE):
        return Path(given).expanduser().absolute()
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib") / f"publicai-edge-{name}"
    import platformdirs

    return platformdirs.user_state_path() / f"publicai-edge-{name}"


def place_to_read(name: str, chosen: Path | None = None, services: Path = Path("/var/lib")) -> Path:
    """Return the folder whose documents somebody who is not the kiosk means, for a bundle called ``name``.

    It is the one of :func:`place_of`; or, where nothing was ever added there, that of a service that root installed.
    """
    own, of_service = place_of(name, chosen), services / f"publicai-edge-{name}"
    told = chosen is not None or VARIABLE in os.environ
    if not told and not os.path.lexists(own / "documents") and os.path.lexists(of_service):
        return of_service
    return own
