"""The tables of a recipe that name what a patron can ask about: documents, and ZIM files."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from publicai_edge.recipe.fields import Sha256, Source, Table, glob_path, zim_name, zim_source
from publicai_edge.recipe.reading import Reading


class Zim(Table):
    """A ZIM file, such as those of Kiwix: an encyclopedia or other web site, searched by the index it brings."""

    source: Annotated[Source, AfterValidator(zim_source)]
    """Where the .zim file is: hf:, pypi:, npm:, https: or file:."""
    revision: str | None = None
    """For hf: a branch, tag or commit."""
    sha256: Sha256 | None = None
    """Digest the file must have; the lock file pins it in any case."""
    name: Annotated[str, Field(min_length=1)]
    """What patrons call it, such as "Wikipedia"; it stands behind the title of each article."""
    license: Annotated[str, Field(min_length=1)]
    """SPDX identifier, or a sentence, on the articles' terms, such as "CC-BY-SA-4.0"."""
    license_url: str
    """Where the licence was stated."""

    @property
    def file_name(self) -> str:
        """The file's name."""
        return zim_name(self.source)


class Knowledge(Table):
    """The documents a patron can ask about."""

    documents: list[Annotated[str, AfterValidator(glob_path)]] = []  # noqa: RUF012 - pydantic copies it
    """Files or glob patterns relative to this recipe: txt, md, html, pdf, docx, epub. None are needed beside a \
[[knowledge.zim]]."""
    zim: list[Zim] = []  # noqa: RUF012 - pydantic copies it
    """ZIM files that are searched beside the documents; the extra `zim` reads them."""
    ocr: bool = False
    """Whether pages of PDFs that hold only pictures, as scanners make them, are recognised; the extra `ocr` does it. \
It reads print in Latin letters with their accents, Chinese and Japanese, and no other script."""
    license: Annotated[str, Field(min_length=1)]
    """SPDX identifier, or a sentence, on the documents' own terms."""
    passage_words: Annotated[int, Field(ge=40, le=400)] = 120
    """Longest passage, in words."""
    top: Annotated[int, Field(ge=1, le=8)] = 3
    """How many passages a question brings up."""
    min_relevance: Annotated[float, Field(ge=0, le=1)] = 0.3
    """Cosine below which a passage does not count as an answer to a question."""
    reading: Reading = Reading()
    """Whether the passages are read again for every question."""

    @property
    def composes(self) -> int:
        """Conversations' worth of memory that putting passages together takes beside the patrons': 1, or 0."""
        return int(self.reading.composition != "exact")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.documents and not self.zim:
            raise ValueError("it names neither documents nor a [[knowledge.zim]]")
        names = [item.file_name.casefold() for item in self.zim]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two files under [[knowledge.zim]] are called {twice[0]!r}")
        return self
