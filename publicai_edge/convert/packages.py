"""The packages a conversion needs beside the core ones: missed before anything starts, with how to get them."""

import importlib.util
from collections.abc import Sequence

from publicai_edge.errors import HostError


def require(packages: Sequence[str], form: str) -> None:
    """Refuse a conversion whose packages are not installed.

    Args:
        packages: names as Python imports them.
        form: what a model is converted to, for the message.

    Raises:
        HostError: one is missing; the hint is the commands to install them without CUDA.
    """
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise HostError(
            f"Converting a model to {form} needs {', '.join(missing)}, not installed here.",
            hint="Install torch's CPU build first, then the rest:\n"
            "  pip install --index-url https://download.pytorch.org/whl/cpu torch==2.13.0\n"
            '  pip install "publicai-edge[onnx]"',
            missing=missing,
        )
