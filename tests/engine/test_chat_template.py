"""Hostile chat templates (R8): none executes anything, none takes the machine, each is answered in two seconds."""

import resource
import time
from pathlib import Path

import pytest

from publicai_edge.engine import template
from publicai_edge.errors import ModelError

TURNS = [{"role": "system", "content": "0"}, {"role": "user", "content": "1"}]

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
}


def answer(source: str) -> str | ModelError:
    try:
        return template.render(source, [TURNS], bos="", eos="", where="m.gguf")[0]
    except ModelError as error:
        return error


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_template_is_answered_soon_and_does_nothing(name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    got = answer(HOSTILE[name])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # In processor time, so that a busy machine fails nothing; on a quiet one the clock shows the same.
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 1.5
    assert time.monotonic() - begun < 30
    if isinstance(got, ModelError):
        assert "chat template of m.gguf" in got.message
        assert len(got.message) < 600
    else:
        assert len(got) <= template.MAX_RENDERED
        assert not any(word in got for word in ("root:", "uid=", "<class", "built-in"))
    # What ends at once, and gives an empty or a harmless text, is no failure; these ones cannot end at all.
    if any(word in name for word in ("gigabyte", "without end", "loops", "doubles", "sorting", "itself", "Python")):
        assert isinstance(got, ModelError), got[:100]


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


def test_a_template_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer(HOSTILE["a gigabyte at compile time"])
    answer(HOSTILE["loops in loops"])
    assert list(tmp_path.iterdir()) == []


def test_each_conversation_has_its_own_text_or_refusal() -> None:
    source = "{% if messages|length > 1 %}{{ raise_exception('one turn only') }}{% endif %}{{ messages[0].content }}"
    one, two = template.render(source, [TURNS[1:], TURNS], bos="", eos="", where="m.gguf")
    assert one == "1"
    assert isinstance(two, ModelError)
    assert "conversation of system, user: one turn only" in two.message


def test_what_published_templates_use_is_there() -> None:
    source = (
        "{{- bos_token -}}{% for m in messages %}{% if m.role == 'x' %}{% break %}{% endif %}"
        "{% generation %}{{ m['content'] | trim }}{% endgeneration %}{{ strftime_now('%d %B %Y') }}{% endfor %}"
        "{% if add_generation_prompt and not enable_thinking %}{{ eos_token }}{{ tools }}{% endif %}"
    )
    got = template.render(source, [TURNS], bos="<s>", eos="</s>", where="m.gguf")
    assert got == ["<s>0(not known)1(not known)</s>"]
