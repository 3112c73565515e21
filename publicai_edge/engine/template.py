"""Runs a model's chat template, a stranger's program, where it can do no harm.

A template comes with the model file. It runs in jinja2's immutable sandbox (CVE-2024-34359 was a template run outside
one), which keeps it from Python's objects but not from using up the machine: ``{{ 'a' * 10**9 }}`` takes a gigabyte
while it is compiled, and two loops inside each other run for minutes. So it is compiled and rendered in a child
process that the system ends at :data:`CPU_SECONDS` of processor time or :data:`MEMORY_BYTES` more than it began with.

Invariants: no patron's words are ever given to a template, only placeholders; the limit is in processor time, so a
busy kiosk refuses no template that a quiet one accepts; what comes back is at most :data:`MAX_RENDERED` characters.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from publicai_edge import child
from publicai_edge.errors import EngineError, ModelError
from publicai_edge.progress import Progress, Silent

if TYPE_CHECKING:
    import jinja2

MAX_SOURCE = 64 << 10
MAX_RENDERED = 64 << 10
CPU_SECONDS = 0.75  # templates of published models need 0.02 here, compiling included; a kiosk may be ten times slower
MEMORY_BYTES = 128 << 20

_WALL_SECONDS = 30.0  # where the system cannot count a process's time (Windows), and for a machine that stands still
_MAX_REASON = 300


def render(
    source: str, conversations: Sequence[Sequence[dict[str, str]]], *, bos: str, eos: str, where: str
) -> list[str | ModelError]:
    """Render conversations, each ending where the answer begins.

    Args:
        source: the template, Jinja.
        conversations: turns as templates know them: ``{"role": …, "content": …}``; contents are placeholders.
        bos: text of the beginning-of-sequence token.
        eos: text of the end-of-sequence token.
        where: the model, for messages.

    Returns:
        The text of each conversation, or why the template refuses it.

    Raises:
        ModelError: the template is too long, broken, or takes more time or memory than any template needs.
    """
    if len(source) > MAX_SOURCE:
        raise ModelError(f"The chat template of {where} has {len(source):,} characters; refused.")
    payload = {"source": source, "conversations": [list(turns) for turns in conversations], "bos": bos, "eos": eos}
    try:
        found = child.run(
            f"{__name__}:_render",
            payload,
            what=f"run the chat template of {where}",
            progress=Silent(),
            limit_seconds=_WALL_SECONDS,
        )
    except EngineError as error:
        raise ModelError(
            f"The chat template of {where} was stopped: it may use {CPU_SECONDS} seconds of processor time and "
            f"{MEMORY_BYTES >> 20} MiB of memory, many times what templates need.",
            hint="The file may be hostile: fetch the model again, from a publisher you trust.",
        ) from error
    if broken := found.value.get("broken"):
        raise ModelError(f"The chat template of {where} is broken: {broken}")
    return [_result(item, where) for item in found.value["rendered"]]


def _result(item: dict[str, str], where: str) -> str | ModelError:
    if "text" in item:
        return item["text"]
    return ModelError(
        f"The chat template of {where} fails on a conversation of {item['roles']}: {item['reason']}",
        hint="Some models take no system turn; choose another model, or report this one.",
    )


def _render(payload: dict[str, Any], _progress: Progress) -> dict[str, Any]:
    """Compile and render, in the child."""
    from jinja2 import ext, sandbox  # noqa: F401 - what compiling needs is loaded before the limits hold

    child.limit_this_process(CPU_SECONDS, MEMORY_BYTES)
    try:
        template = _compile(payload["source"])
    except Exception as error:  # noqa: BLE001 - a stranger's program: it may raise anything
        return {"broken": _reason(error)}
    rendered = []
    for turns in payload["conversations"]:
        try:
            rendered.append({"text": _bounded(template, turns, payload["bos"], payload["eos"])})
        except Exception as error:  # noqa: BLE001 - as above
            roles = ", ".join(turn["role"] for turn in turns[:8]) + (", …" if len(turns) > 8 else "")  # noqa: PLR2004
            rendered.append({"roles": roles, "reason": _reason(error)})
    return {"rendered": rendered}


def _compile(source: str) -> "jinja2.Template":
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}``: marks, for training only, what the model writes itself."""

        tags = {"generation"}  # noqa: RUF012 - jinja2's own way to name them

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=[loopcontrols, Generation]
    )
    environment.globals["raise_exception"] = refuse
    # A kiosk's clock is not to be trusted, and a date would make the stored prompt stale every midnight.
    environment.globals["strftime_now"] = lambda _form: "(not known)"
    return environment.from_string(source)


def _bounded(template: "jinja2.Template", turns: list[dict[str, str]], bos: str, eos: str) -> str:
    pieces = []
    room = MAX_RENDERED
    for piece in template.generate(
        messages=turns,
        add_generation_prompt=True,
        bos_token=bos,
        eos_token=eos,
        enable_thinking=False,  # a kiosk on a small CPU has no time to think aloud
    ):
        room -= len(piece)
        if room < 0:
            raise ValueError(f"it writes more than {MAX_RENDERED:,} characters")
        pieces.append(piece)
    return "".join(pieces)


def _reason(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:_MAX_REASON]
