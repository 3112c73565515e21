"""What a runtime has in the place of Python's ``ssl``: the names that are asked for when a web server is imported.

A kiosk speaks HTTP with its own screen and connects to nobody, so a runtime has no TLS (ADR 0048). Whatever would use
it ends with a sentence. A package that asks for another name fails when a runtime is made, which imports all of it.
"""

from typing import Any, NoReturn

PROTOCOL_TLS_SERVER = 17
CERT_NONE = 0


class SSLError(OSError):
    """As in ``ssl``; never raised here."""


class SSLEOFError(SSLError):
    """As in ``ssl``; never raised here."""


class SSLSyscallError(SSLError):
    """As in ``ssl``; never raised here."""


class SSLWantReadError(SSLError):
    """As in ``ssl``; never raised here."""


class SSLWantWriteError(SSLError):
    """As in ``ssl``; never raised here."""


class SSLZeroReturnError(SSLError):
    """As in ``ssl``; never raised here."""


class _None:
    """What cannot be made.

    Raises:
        RuntimeError: always.
    """

    def __init__(self, *_arguments: Any, **_settings: Any) -> None:
        _end()


class SSLContext(_None):
    """As in ``ssl``."""


class SSLObject(_None):
    """As in ``ssl``."""


class SSLSocket(_None):
    """As in ``ssl``."""


class MemoryBIO(_None):
    """As in ``ssl``."""


def create_default_context(*_arguments: Any, **_settings: Any) -> SSLContext:
    """End, as there is none.

    Raises:
        RuntimeError: always.
    """
    _end()


def _end() -> NoReturn:
    raise RuntimeError("A kiosk's program speaks plain HTTP with its own screen alone: it has no TLS.")
