"""Every error this project raises on purpose.

A class for each thing a caller does differently; the command line turns the class into an exit code::

    PublicAIError            1
    ├── RecipeError          2   the recipe is wrong: mend it
    ├── SourceError          3   something could not be fetched
    │   ├── NotFoundError        it is not there
    │   ├── AccessError          a token or an accepted licence is missing
    │   ├── OfflineError         the network is away and the cache does not have it
    │   └── IntegrityError       what arrived is not what was asked for
    ├── ModelError           4   a model file is broken, unknown or refused
    ├── DocumentError        4   a document cannot be read
    ├── BundleError          5   a bundle is incomplete, changed or foreign
    │   ├── SignatureError       nobody who is trusted vouches for it, or a signature or key is malformed
    │   └── ExpiredError         its steward's date has passed
    ├── HostError            6   this machine: disk, permission, port, a missing extra
    └── EngineError          7   the engine failed while it ran
        ├── ContextOverflowError   the request does not fit the model's context
        └── OverloadedError        too many requests wait: try again later

Anything else that escapes is a bug, exit 70. Messages name the object and the fact; ``hint`` is the next step.
"""

from typing import Any, ClassVar


class PublicAIError(Exception):
    """Base of all deliberate errors.

    Args:
        message: what is wrong, with which object, what was expected and what was found.
        hint: what to do next, as a sentence or a command.
        facts: machine-readable details for ``--json``.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.facts = facts

    def to_json(self) -> dict[str, Any]:
        """Return the error as plain data: ``kind``, ``message``, ``hint``, ``facts``."""
        return {
            "kind": type(self).__name__,
            "message": self.message,
            "hint": self.hint,
            "facts": self.facts,
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> "PublicAIError":
        """Rebuild an error that crossed a process boundary; an unknown kind becomes the base class."""
        known = {cls.__name__: cls for cls in _all_subclasses(PublicAIError)}
        cls = known.get(str(data.get("kind")), PublicAIError)
        hint, facts = data.get("hint"), data.get("facts")
        facts = facts if isinstance(facts, dict) else {}
        kept = {name: value for name, value in facts.items() if name not in {"message", "hint"}}
        return cls(str(data.get("message", "")), hint=hint if isinstance(hint, str) else None, **kept)


def _all_subclasses(cls: type[PublicAIError]) -> list[type[PublicAIError]]:
    found = [cls]
    for sub in cls.__subclasses__():
        found.extend(_all_subclasses(sub))
    return found


class RecipeError(PublicAIError):
    """The recipe, or a value given in its place, is wrong."""

    exit_code = 2


class SourceError(PublicAIError):
    """Something could not be fetched."""

    exit_code = 3


class NotFoundError(SourceError):
    """What was asked for does not exist at the source."""


class AccessError(SourceError):
    """The source wants a token, or its licence has to be accepted first."""


class OfflineError(SourceError):
    """The network cannot be reached, and the cache does not hold what is needed."""


class WholeOnlyError(SourceError):
    """The source is an archive that can be fetched, and not be looked into before."""


class IntegrityError(SourceError):
    """What arrived differs from its pinned digest or size."""


class ModelError(PublicAIError):
    """A model file is broken, of an unknown kind, or refused."""

    exit_code = 4


class DocumentError(PublicAIError):
    """A document cannot be read; the build reports it by name and goes on."""

    exit_code = 4


class BundleError(PublicAIError):
    """A bundle is incomplete, changed, or not a bundle."""

    exit_code = 5


class SignatureError(BundleError):
    """Nobody who is trusted vouches for a bundle as it is, or a signature or a key is malformed."""


class ExpiredError(BundleError):
    """The date up to which a bundle's steward answers for it has passed."""


class HostError(PublicAIError):
    """This machine lacks something: disk space, a permission, a free port, an extra."""

    exit_code = 6


class EngineError(PublicAIError):
    """The engine failed while it ran."""

    exit_code = 7


class ContextOverflowError(EngineError):
    """The request does not fit the model's context."""


class OverloadedError(EngineError):
    """Too many requests wait already; ``facts["retry_after"]`` says in how many seconds to try again."""
