"""Files that are overwritten before they are removed, so that nothing of them is left where the disk writes in place.

Flash memory, and file systems that copy what is written, put the zeros elsewhere: there only an encrypted disk keeps
what was removed from somebody who takes the disk out (NIST SP 800-88 Rev. 1).
"""

import os
from pathlib import Path

_ZEROS = bytes(1 << 20)


def erase(place: Path) -> None:
    """Overwrite and remove a file, or a folder with all that is in it; what is not there is left out.

    Raises:
        OSError: the disk refuses.
    """
    if place.is_dir() and not place.is_symlink():
        for inner in place.iterdir():
            erase(inner)
        place.rmdir()
        return
    if place.is_file() and not place.is_symlink():
        _overwrite(place)
    place.unlink(missing_ok=True)


def _overwrite(place: Path) -> None:
    with place.open("r+b", buffering=0) as stream:
        left = os.fstat(stream.fileno()).st_size
        while left > 0:
            left -= stream.write(_ZEROS[:left])
        os.fsync(stream.fileno())
