"""Run the kiosk: take the port, start the web server, say when the page is there, end quickly.

Invariants: the port is bound before anything else is started, so that one in use is told at once; nothing a
patron typed is logged, and no core file is written; Ctrl-C ends every open answer first, and the process with
it within two seconds.
"""

import contextlib
import errno
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from publicai_edge.bundle.open import Bundle
from publicai_edge.engine.protocol import Engine
from publicai_edge.errors import HostError
from publicai_edge.host import refuse_core_files
from publicai_edge.kiosk.library import Documents
from publicai_edge.scrub import overwrite_what_is_freed

if TYPE_CHECKING:
    import uvicorn

    from publicai_edge.kiosk.staff_desk import Desk

DEFAULT_PORT = 8017

_GRACE_SECONDS = 1
_MOST_CONNECTIONS = 256


def serve(
    bundle: Bundle,
    engine: Engine,
    open_documents: Callable[[], Documents] | None,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    names: Iterable[str] = (),
    staff: "Desk | None" = None,
    state: Path | None = None,
    share_status: bool = False,
    printing: bool = True,
    on_ready: Callable[[str], None],
) -> None:
    """Serve a bundle until Ctrl-C.

    Args:
        bundle: what is served.
        engine: the engine, not started yet.
        open_documents: opens the knowledge base; None where the bundle has none.
        host: the address to listen on; other machines reach the kiosk only if it is not a loopback address.
        port: 0 takes a free one.
        names: further names the kiosk answers to.
        staff: what staff change the documents with; None where the bundle has none.
        state: the kiosk's own folder, which outlives updates; None where nothing is to be kept.
        share_status: let other machines read the operator's page, too.
        printing: whether the page offers to print an answer.
        on_ready: told the page's address once it can be opened; the model may still be loading.

    Raises:
        HostError: the port is taken or may not be used, or the extra ``kiosk`` is not installed.
    """
    refuse_core_files()
    overwrite_what_is_freed()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # threads of its own would keep what nobody can overwrite
    create_app = _load_app_maker()
    from publicai_edge.kiosk.guard import own_names
    from publicai_edge.kiosk.slips import Slips

    with contextlib.closing(bind(host, port)) as listener:
        taken = listener.getsockname()[1]
        app = create_app(
            bundle,
            engine,
            open_documents,
            allowed_hosts=own_names(host, taken, names),
            staff=staff,
            slips=Slips(state) if state else None,
            share_status=share_status,
            printing=printing,
        )
        _run(app, listener, lambda: on_ready(page_address(host, taken)))


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address.

    Raises:
        HostError: it is in use, not this machine's, or not permitted.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio does not know it as such and leaves Nagle's algorithm on: each small write after another,
    # such as a piece of an answer, then waits for the other side's acknowledgement, which comes 40 ms later.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":  # there it would let two programs share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise _bind_error(error, host, port) from error
    return listener


def _bind_error(error: OSError | OverflowError, host: str, port: int) -> HostError:
    number = error.errno if isinstance(error, OSError) else None
    facts = {"host": host, "port": port}
    if number == errno.EADDRINUSE:
        return HostError(
            f"Port {port} on {host} is in use by another program.",
            hint=f"If that is this kiosk, open http://{host}:{port}/ in a browser; "
            "otherwise choose another port with --port, or --port 0 for any free one.",
            **facts,
        )
    if number in {errno.EACCES, errno.EPERM}:
        return HostError(
            f"No permission to listen on port {port} of {host}.",
            hint="Choose a port of 1024 or above with --port.",
            **facts,
        )
    reason = error.strerror if isinstance(error, OSError) else "a port is a number from 0 to 65535"
    return HostError(
        f"Cannot listen on {host}, port {port}: {reason}.",
        hint="Use an address of this machine with --host; 127.0.0.1 is always one.",
        **facts,
    )


def _load_app_maker() -> Callable[..., Any]:
    try:
        import httptools  # noqa: F401 - asked for here so that what is missing is told before a port is taken
        import uvicorn  # noqa: F401

        from publicai_edge.kiosk.app import create_app
    except ModuleNotFoundError as error:
        raise HostError(
            f"Serving needs {error.name}, which is not installed.",
            hint='Install the kiosk extra: pip install "publicai-edge[kiosk]"',
        ) from error
    return create_app


def _run(app: Any, listener: socket.socket, tell_ready: Callable[[], None]) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        web_server(app, tell_ready).run(sockets=[listener])


@contextlib.contextmanager
def beside(
    bundle: Bundle, engine: Engine, open_documents: Callable[[], Documents] | None, patience: float = 60.0
) -> Iterator[str]:
    """Serve a bundle on a free port of this machine, in a thread, until the end of the block; yields its address.

    The arguments are as for :func:`serve`; ``patience`` is the seconds in which the page has to be there.

    Raises:
        HostError: the extra ``kiosk`` is not installed, or the page does not come up.
    """
    refuse_core_files()
    create_app = _load_app_maker()
    from publicai_edge.kiosk.guard import own_names

    with contextlib.closing(bind("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        there = threading.Event()
        server = web_server(
            create_app(bundle, engine, open_documents, allowed_hosts=own_names("127.0.0.1", port)), there.set
        )
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="kiosk", daemon=True)
        thread.start()
        try:
            give_up = time.monotonic() + patience
            while not there.wait(0.1):
                if not thread.is_alive() or time.monotonic() > give_up:
                    raise HostError(
                        f"The kiosk of {bundle.root} did not come up.",
                        hint="`publicai-edge serve` on the same bundle tells more.",
                    )
            yield page_address("127.0.0.1", port)
        finally:
            server.should_exit = True
            thread.join(patience)


def web_server(app: Any, tell_ready: Callable[[], None]) -> "uvicorn.Server":
    """Return the web server of a kiosk; once it is up it calls ``tell_ready``, and it ends open answers first."""
    import uvicorn

    from publicai_edge.kiosk.state import Kiosk

    kiosk: Kiosk = app.state.kiosk

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                tell_ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            kiosk.end_streams()
            await super().shutdown(sockets)

    return Server(server_config(app))


def server_config(app: Any) -> "uvicorn.Config":
    """Return how the web server runs: it logs nothing itself, and ends open answers after a second."""
    import uvicorn

    from publicai_edge.kiosk.heads import BoundedHeads

    return uvicorn.Config(
        app,
        http=BoundedHeads,
        ws="none",
        log_config=None,
        log_level="critical",  # its tracebacks may quote a patron; Guard writes lines of its own
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a caller is who it is; and what such headers hold would be kept in a cache
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


def page_address(host: str, port: int) -> str:
    """Return the address of the page for a browser on this machine."""
    name = "127.0.0.1" if host in {"0.0.0.0", "::"} else f"[{host}]" if ":" in host else host  # noqa: S104
    return f"http://{name}:{port}/"
