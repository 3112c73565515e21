"""The kinds of values a recipe is made of, each with the rule it is checked by and the pattern an editor shows."""

import re
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_ZIM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}\.zim")
_SCHEMES = ("hf", "pypi", "npm", "https", "file")
_PACKAGE_SCHEMES = (*_SCHEMES, "sdist")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("expected lower-case letters, digits and single hyphens, like 'town-library'")
    return text


def _version(text: str) -> str:
    if not _VERSION.fullmatch(text):
        raise ValueError("expected three numbers, like '1.0.0'")
    return text


def language_tag(text: str) -> str:
    """Return a language's tag.

    Raises:
        ValueError: it is none.
    """
    if not _LANGUAGE.fullmatch(text):
        raise ValueError("expected a BCP 47 language tag, like 'en', 'sw' or 'pt-BR'")
    return text


def _source(text: str, schemes: tuple[str, ...] = _SCHEMES) -> str:
    scheme = text.split(":", 1)[0]
    if ":" not in text or scheme not in schemes:
        raise ValueError(
            f"unknown source scheme {scheme!r}; expected one of " + ", ".join(f"{name}:" for name in schemes)
        )
    return text


def _package_source(text: str) -> str:
    return _source(text, _PACKAGE_SCHEMES)


def _sha256(text: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise ValueError("expected 64 lower-case hexadecimal characters")
    return text


def zim_name(source: str) -> str:
    """Return the name of the file that a source ends with."""
    return source.partition("?")[0].rpartition(":")[2].rpartition("/")[2]


def zim_source(text: str) -> str:
    if not _ZIM.fullmatch(name := zim_name(text)):
        raise ValueError(f"expected a source that ends in NAME.zim, of letters, digits, '.', '_' and '-', not {name!r}")
    return text


def glob_path(text: str) -> str:
    if PurePosixPath(text).is_absolute() or "\\" in text:
        raise ValueError("expected a path relative to the recipe, with forward slashes")
    return text


def _pattern(regular: str) -> WithJsonSchema:
    """Tell an editor the rule that the validator beside it speaks of in words."""
    return WithJsonSchema({"type": "string", "pattern": f"^{regular}$"})


Name = Annotated[str, AfterValidator(_name), _pattern(_NAME.pattern)]
Version = Annotated[str, AfterValidator(_version), _pattern(_VERSION.pattern)]
Language = Annotated[str, AfterValidator(language_tag), _pattern(_LANGUAGE.pattern)]
Source = Annotated[str, AfterValidator(_source), _pattern(f"({'|'.join(_SCHEMES)}):.+")]
PackageSource = Annotated[str, AfterValidator(_package_source), _pattern(f"({'|'.join(_PACKAGE_SCHEMES)}):.+")]
"""A source that may also be a source distribution of PyPI."""
Sha256 = Annotated[str, AfterValidator(_sha256), _pattern("[0-9a-f]{64}")]
Words = dict[Language, Annotated[str, Field(min_length=1)]]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
