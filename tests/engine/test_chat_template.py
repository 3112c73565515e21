"""What templates of published models use, and what they may refuse; hostile ones are in tests/faults (R8)."""

from publicai_edge.engine import template
from publicai_edge.errors import ModelError

TURNS = [{"role": "system", "content": "0"}, {"role": "user", "content": "1"}]


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
