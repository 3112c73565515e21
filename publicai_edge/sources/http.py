"""HTTP as this project speaks it: the user's proxies and certificates, redirects stay encrypted, ranges."""

import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import certifi
import httpx

from publicai_edge.errors import AccessError, NotFoundError, PublicAIError, SourceError


class UntrustedError(SourceError):
    """The server's certificate is not signed by an authority this machine trusts."""


_TIMEOUT = httpx.Timeout(30.0, read=60.0)
_MAX_REDIRECTS = 10


def client() -> httpx.Client:
    """Return a client with the environment's proxies that trusts the system's and certifi's authorities."""
    return httpx.Client(timeout=_TIMEOUT, verify=_trust(), headers={"User-Agent": "publicai-edge"})


def _trust() -> ssl.SSLContext:
    # The system's store holds what an institution installed there; OpenSSL reads SSL_CERT_FILE and
    # SSL_CERT_DIR itself; REQUESTS_CA_BUNDLE is what pip and older hub libraries are given in the same place.
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    bundle = os.environ.get("REQUESTS_CA_BUNDLE")
    if bundle and Path(bundle).is_file():
        context.load_verify_locations(bundle)
    return context


def netrc() -> httpx.Auth | None:
    """Return what the user's netrc file says, or None where there is none that can be read."""
    place = Path(os.environ.get("NETRC") or Path.home() / ".netrc")
    try:
        return httpx.NetRCAuth(str(place)) if place.is_file() else None
    except (OSError, ValueError, SyntaxError):  # NetrcParseError is a SyntaxError
        return None


@contextmanager
def stream(
    client: httpx.Client, url: str, headers: Mapping[str, str], auth: httpx.Auth | None
) -> Iterator[httpx.Response]:
    """Yield the response to a GET, its body unread; credentials never follow a redirect to another host.

    Raises:
        SourceError: a redirect leaves https, or there are too many.
    """
    request = client.build_request("GET", url, headers=dict(headers))
    for _ in range(_MAX_REDIRECTS):
        response = client.send(request, stream=True, auth=auth, follow_redirects=False)
        try:
            following = response.next_request
            if following is None:
                yield response
                return
        finally:
            response.close()
        if request.url.scheme == "https" and following.url.scheme != "https":
            raise SourceError(
                f"{shown(url)} redirects to an unencrypted address, {shown(str(following.url))}: refused.",
                hint="Ask the publisher for an https: address.",
            )
        # httpx has taken the Authorization header away where the host changed; netrc is for the first one
        # alone.
        request, auth = following, None
    raise SourceError(f"{shown(url)} redirects more than {_MAX_REDIRECTS} times.")


def shown(url: str) -> str:
    """Return an address for a message: without credentials and query, which may hold a signature."""
    parsed = httpx.URL(url)
    return str(parsed.copy_with(userinfo=b"", query=None, fragment=None))


def explain(status: int, _headers: Mapping[str, str], url: str) -> PublicAIError:
    """Return the error for a status that trying again will not change."""
    if status in {401, 403, 407}:
        return AccessError(
            f"{shown(url)} refuses access (HTTP {status}).",
            hint="Put the user name and password for that host into ~/.netrc, or check HTTPS_PROXY.",
            status=status,
        )
    if status in {404, 410}:
        return NotFoundError(f"{shown(url)} does not exist (HTTP {status}).", hint="Check the address.", status=status)
    return SourceError(f"{shown(url)} answered HTTP {status}.", status=status)


def refuse_certificate(error: httpx.TransportError, url: str) -> None:
    """Raise at once when the server's certificate is not trusted: no later attempt would change that.

    Raises:
        UntrustedError: it is not.
    """
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        raise UntrustedError(
            f"The certificate of {httpx.URL(url).host} is not trusted: {error}.",
            hint="Behind an institution's proxy, point SSL_CERT_FILE to its certificate authority's file.",
        ) from error


def reason(error: httpx.TransportError) -> str:
    """Return why a connection failed, in a few words."""
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError):
        return "the connection was cut"
    return str(error) or type(error).__name__


def total_of(response: httpx.Response) -> int | None:
    """Return the length of the whole file, from Content-Range or Content-Length."""
    ranged = response.headers.get("Content-Range")
    text = ranged.rpartition("/")[2] if ranged else response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def start_of(response: httpx.Response) -> int | None:
    """Return the first byte of a 206 response."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() else None


def validator_of(response: httpx.Response) -> str | None:
    """Return what names this version of the file: a strong entity tag, else its date (RFC 9110, 8.8)."""
    tag: str = response.headers.get("ETag", "")
    date: str | None = response.headers.get("Last-Modified")
    return tag if tag and not tag.startswith("W/") else date
