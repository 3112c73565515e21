"""R8: hostile chat templates. None executes anything, none takes the machine, each is answered in two seconds.

What renders is the harness's parameter: jinja2 without its sandbox, and without limits, fails it.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from publicai_edge.engine import template
from publicai_edge.errors import ModelError
from tests.faults.lanes import outcomes
from tests.promises import Figure

TURNS = [{"role": "system", "content": "0"}, {"role": "user", "content": "1"}]
SECONDS = 2.0

HOSTILE = {
    "a gigabyte at compile time": "{{ 'a' * 10**9 }}",
    "many gigabytes at compile time": "{{ ('a' * 10**6) * 10**6 }}",
    "a number without end": "{{ 9 ** (9 ** 9) }}",
    "a long number as text": "{{ (7**400000)|string|length }}",
    "loops in loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "loops that write": "{% for a in range(99999) %}{% for b in range(99999) %}xx{% endfor %}{% endfor %}",
    "a range too long": "{% for a in range(10**9) %}{% endfor %}",
    "a list that doubles": (
        "{% set n = namespace(l=[1]) %}{% for a in range(60) %}{% set n.l = n.l + n.l %}{% endfor %}{{ n.l|length }}"
    ),
    "a text that doubles": (
        "{% set n = namespace(t='x') %}{% for a in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}"
    ),
    "padding": "{{ 'x'|center(10**10) }}",
    "a format's width": "{{ '%1000000000d'|format(1) }}",
    "a format method's width": "{{ '{:>1000000000}'.format(1) }}",
    "random words": "{{ lipsum(n=100000) }}",
    "a macro that calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "a loop that calls itself": "{% for a in [[1]] recursive %}{{ loop([a]) }}{% endfor %}",
    "ten thousand brackets": "{{ " + "(" * 10_000 + "1" + ")" * 10_000 + " }}",
    "ten thousand lists": "{{ " + "[" * 10_000 + "]" * 10_000 + " }}",
    "a thousand blocks": "{% if 1 %}" * 1_000 + "{% endif %}" * 1_000,
    "five thousand additions": "{{ " + "1+" * 5_000 + "1 }}",
    "a slow replacement": "{{ ('a' * 10**6).replace('a', 'b' * 10**6) }}",
    "sorting": "{% for a in range(99999) %}{{ range(99999)|sort|first }}{% endfor %}",
    "the classes of Python": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "a function's globals": "{{ raise_exception.__globals__['__builtins__']['open']('/etc/passwd').read() }}",
    "globals through a filter": "{{ ''|attr('__class__')|attr('__base__') }}",
    "globals through a format": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "the environment": "{{ self.__init__.__globals__.__builtins__.__import__('os').system('id') }}",
    "a cycler's module": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "another file": "{% include '/etc/passwd' %}",
    "changing what it is given": "{% set _ = messages.append(1) %}{{ messages|length }}",
    "a shut file": "{% for",
    "too long": "x" * (template.MAX_SOURCE + 1),
    "numbers without end": "{% for a in range(99999) %}{% set b = 7 ** (99999 * a) %}{% endfor %}",
    "a slow search": "{{ ('a' * 30000 ~ 'b')|wordwrap(1)|urlize|striptags|length }}",
    "a walk by subscripts": "{{ []['__class__']['__base__']['__subclasses__']() }}",
    "a walk by a format map": "{{ '{a.__init__.__globals__}'.format_map({'a': cycler}) }}",
    "a joiner's module": "{{ joiner.__init__.__globals__ }}",
    "a namespace's module": "{{ namespace.__init__.__globals__['os'] }}",
    "a frame": "{{ (messages|map('string')).gi_frame.f_globals }}",
    "its own environment": "{{ self._TemplateReference__context.environment.overlay(sandboxed=False) }}",
    "an import": "{% import 'os' as os %}{{ os.system('id') }}",
    "a parent": "{% extends '/etc/passwd' %}",
}


Render = Callable[[str], "str | ModelError"]
LEAKS = ("root:", "uid=", "<class", "built-in", "<module", "<function")


def answer(source: str) -> str | ModelError:
    try:
        return template.render(source, [TURNS], bos="", eos="", where="m.gguf")[0]
    except ModelError as error:
        return error


@dataclass(frozen=True)
class Rendered:
    """What came of a template, the seconds of the processor that its children took, and those of the clock."""

    got: str | ModelError
    processor: float
    clock: float

    def wrong(self) -> list[str]:
        """Return which parts of the promise did not hold.

        Time is the processor's, so that a busy machine fails nothing; on a quiet one the clock shows the same.
        """
        wrong = []
        if self.processor > SECONDS or self.clock > 15 * SECONDS:
            wrong.append(f"took {self.processor:.1f} s")
        if isinstance(self.got, ModelError):
            if "chat template of m.gguf" not in self.got.message or len(self.got.message) > 600:
                wrong.append("does not say what was wrong")
        else:
            if len(self.got) > template.MAX_RENDERED:
                wrong.append("wrote too much")
            if any(word in self.got for word in LEAKS):
                wrong.append("reached what it should not")
        return wrong


def rendered(render: Render, source: str) -> Rendered:
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    got = render(source)
    clock, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return Rendered(got, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, clock)


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.promise("R8")
def test_a_hostile_template_is_answered_soon_and_does_nothing(name: str, figure: Figure) -> None:
    it = rendered(answer, HOSTILE[name])
    figure("most processor time that a template took", round(it.processor, 2), "s", bound=SECONDS)
    assert it.wrong() == []
    # What ends at once, and gives an empty or a harmless text, is no failure; these ones cannot end at all.
    if any(word in name for word in ("gigabyte", "without end", "loops", "doubles", "sorting", "itself", "Python")):
        assert isinstance(it.got, ModelError), it.got[:100]


@pytest.mark.promise("R8")
def test_the_memory_of_a_template_is_bounded() -> None:
    """The peak of all children so far may come from elsewhere, so this one is asked about itself."""
    source = (
        "{% set n = namespace(l=[]) %}{% for a in range(99999) %}{% set n.l = n.l + ['x' * 99999 ~ a] %}{% endfor %}"
    )
    before = _largest_child()
    got = answer(source)
    assert isinstance(got, ModelError)
    assert _largest_child() <= max(before, template.MEMORY_BYTES + (96 << 20))


def _largest_child() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


@pytest.mark.promise("R8")
def test_a_template_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer(HOSTILE["a gigabyte at compile time"])
    answer(HOSTILE["loops in loops"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.promise("R8")
def test_there_are_enough_of_them(figure: Figure) -> None:
    figure("hostile templates", len(HOSTILE), "", bound=">= 20")


# --- the harness can fail ---


def unguarded(source: str) -> str:
    """jinja2 as it comes, in the asking process."""
    import jinja2

    return jinja2.Environment(autoescape=False).from_string(source).render(messages=TURNS)


@pytest.mark.parametrize("name", ["the classes of Python", "a joiner's module", "a walk by subscripts"])
@pytest.mark.promise("R8", broken=True)
def test_a_template_without_the_sandbox_fails(name: str) -> None:
    assert "reached what it should not" in rendered(unguarded, HOSTILE[name]).wrong()


def unlimited(source: str) -> str:
    """The sandbox without limits, in the asking process."""
    return template._compile(source).render(messages=TURNS)


@pytest.mark.promise("R8", broken=True)
def test_a_sandbox_without_limits_fails() -> None:
    found = list(outcomes(unlimited, [HOSTILE["loops in loops"]], seconds=2 * SECONDS))
    assert [outcome.how for outcome in found] == ["late"]
