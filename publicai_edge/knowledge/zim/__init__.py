"""ZIM files (Kiwix: Wikipedia and others offline), searched through the full-text index that they bring.

libzim is C++ and reads files that others made, so no process that counts opens one: the build checks an archive in a
child process (:mod:`.check`), and the kiosk reads it in another (:mod:`.worker`), which :mod:`.reader` asks and
replaces where it dies. What comes out is text in passages (:mod:`.library`), never HTML.
"""

import importlib.util

SUFFIX = ".zim"
READER_BYTES = 100 << 20
"""Memory that the process that reads one file takes, beside the file's own pages: 90 MB measured on x86-64."""
MAGIC = b"ZIM\x04"
"""What the file begins with (openzim.org, "ZIM file format")."""


def is_installed() -> bool:
    """Say whether libzim is there; it is an extra, since its licence is GPL-3.0-or-later."""
    return importlib.util.find_spec("libzim") is not None
