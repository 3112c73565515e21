"""One run at a time in a folder: the lock is on the folder itself, so it leaves nothing and ends with its run."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from publicai_edge.errors import HostError

_NOT_LOCKED = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # NFS gives the first for a folder


@contextmanager
def held(folder: Path, busy: HostError) -> Iterator[None]:
    """Hold a folder against other runs on this machine; where the system locks no folders, hold nothing.

    Args:
        folder: what is held.
        busy: what is raised when another run holds it.

    Raises:
        HostError: another run holds it.
        OSError: it cannot be opened.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(handle), folder.stat()):
                raise BlockingIOError  # noqa: TRY301 - another run took the folder away, and somebody made it anew
        except (BlockingIOError, FileNotFoundError) as error:
            raise busy from error
        except OSError as error:
            if error.errno not in _NOT_LOCKED:
                raise
        yield
    finally:
        os.close(handle)
