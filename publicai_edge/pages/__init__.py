"""What all reports share as HTML pages: colours and type, the shapes of plots, and how strangers' words are escaped.

A report is one file that needs nothing else: no script, no font, nothing from elsewhere, and a content security policy
that would stop any. It is valid as XML as well as HTML, and can be printed.
"""

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

_HERE = Path(__file__).parent


def environment(folder: Path) -> "jinja2.Environment":
    """Return Jinja's environment for the templates in ``folder``; the files beside this one are at hand as well."""
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _HERE]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_printable,
    )
    made.filters["web"] = _web_address
    return made


def _web_address(value: str | None) -> str | None:
    """Return an address that is safe to link to, else None."""
    return value if value and value.startswith(("https://", "http://")) else None


def _printable(value: Any) -> Any:
    """Return text without characters that HTML and XML do not allow."""
    if not isinstance(value, str) or hasattr(value, "__html__"):
        return value
    return "".join(letter for letter in value if letter in "\n\t" or _allowed(letter))


def _allowed(letter: str) -> bool:
    return unicodedata.category(letter) not in {"Cc", "Cs"} and letter not in "\ufffe\uffff"
