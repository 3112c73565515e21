"""Which characters a file's bytes stand for."""

import codecs
import re

from publicai_edge.errors import DocumentError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_META = re.compile(rb"""<meta[^>]{0,99}?charset\s*=\s*["']?\s*([A-Za-z0-9_-]{2,40})""", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x07\x0e-\x19\x1c-\x1f\x7f]")  # less those that old text files end or format with
_CONTROLS_ALLOWED = 0.02


def decode(data: bytes, declared: str | None = None) -> tuple[str, tuple[str, ...]]:
    """Return the text of ``data`` and warnings about how its encoding was found.

    A byte order mark decides, then UTF-8 if the bytes are valid UTF-8, then what the document declares,
    then Windows-1252 with a warning, since nothing in the file says so.

    Raises:
        DocumentError: the bytes are no text.
    """
    text, warnings = _decode(data, declared)
    if "\0" in text:
        raise DocumentError("it is not text (it has zero bytes)")
    if len(_CONTROL.findall(text)) > len(text) * _CONTROLS_ALLOWED:
        raise DocumentError("it is not text (it has many control characters)")
    return text, warnings


def _decode(data: bytes, declared: str | None) -> tuple[str, tuple[str, ...]]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace"), ()
    try:
        return data.decode("utf-8"), ()
    except UnicodeDecodeError:
        pass
    if declared and _is_known(declared):
        return data.decode(declared, "replace"), ()
    warning = "is not UTF-8 and does not say what it is: read as Windows-1252; check its accented letters"
    return data.decode("cp1252", "replace"), (warning,)


def charset_in_html(data: bytes) -> str | None:
    """Return the charset that an HTML document's ``meta`` element names, or None."""
    found = _META.search(data[:4096])
    return found[1].decode("ascii") if found else None


def _is_known(encoding: str) -> bool:
    try:
        return bool(codecs.lookup(encoding)._is_text_encoding)  # codecs like "zip" are no encodings of text
    except LookupError:
        return False
