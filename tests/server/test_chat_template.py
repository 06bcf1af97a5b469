"""Chat templates: as Transformers renders them, refused in words, kept in the sandbox."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.chat import template as template_module
from server.chat.builtin import BUILTIN, builtin
from server.chat.template import ChatTemplate, ChatTemplateError
from tests.chat_templates.reference import TOKENS, transformers_tokenizer

HI = [{"role": "user", "content": "Hi"}]

EVERYTHING = """
{%- macro shout(text) %}{{ text | upper }}!{% endmacro %}
{%- set ns = namespace(calls=0, last='') %}
{{- bos_token }}
{% if tools %}
    tools: {{ tools | tojson }} {{ tools | tojson(indent=2) }}
    {{ tools | tojson(sort_keys=true, separators=(',', ':')) }}
{% endif %}
    {% for message in messages %}
        {%- if message.role == 'system' and loop.index0 > 0 %}{% continue %}{% endif %}
  [{{ loop.index }}/{{ loop.length }}{{ ' last' if loop.last }}] {{ message['role'] }}: {{ message.content }}
        {%- if message.tool_calls is defined %}
            {% for call in message.tool_calls %}
                {%- set ns.calls = ns.calls + 1 %}
<call>{{ call.function.name }} {{ call.function.arguments | tojson }}</call>
                {%- for key, value in call.function.arguments.items() | sort %} {{ key }}={{ value }}{% endfor %}
            {% endfor %}
        {%- endif %}
        {%- generation %} {{ shout(message.role) }} {% endgeneration %}
        {%- set ns.last = message.role %}
        {%- if loop.index > 8 %}{% break %}{% endif %}
    {% endfor %}
{{- '-' * 3 }} {{ ns.calls }} {{ ns.last }} {{ dict(a=1) }}
{{ strftime_now('%Y') }} {{ missing }} {{ extra is defined }}
{% if documents %}{{ documents | map(attribute='title') | join(', ') }}{% endif %}
{%- if add_generation_prompt %}assistant:{% endif %}
"""
"""Something of all that templates use: whitespace control, loops, macros, namespaces, JSON."""

text = st.text(alphabet=st.one_of(st.sampled_from("ab \n\t<>&'\"{%}#é日🦙"), st.characters(codec="utf-8")), max_size=12)
arguments = st.dictionaries(
    st.sampled_from(["city", "é", "<x>"]), st.one_of(text, st.integers(), st.none()), max_size=3
)
call = st.builds(lambda a: {"id": "c1", "type": "function", "function": {"name": "f", "arguments": a}}, arguments)
plain_message = st.builds(
    lambda role, content: {"role": role, "content": content}, st.sampled_from(["system", "user", "assistant"]), text
)
calling_message = st.builds(
    lambda calls, content: {"role": "assistant", "content": content, "tool_calls": calls},
    st.lists(call, min_size=1, max_size=2),
    st.one_of(text, st.none()),
)
conversation = st.lists(st.one_of(plain_message, calling_message), min_size=1, max_size=12)
tools = st.one_of(
    st.none(), st.lists(st.builds(lambda d: {"type": "function", "function": {"d": d}}, text), max_size=2)
)


@pytest.mark.parametrize("source", [EVERYTHING, *map(builtin, BUILTIN)], ids=["everything", *BUILTIN])
@given(messages=conversation, tools=tools, prompt=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_same_as_transformers(
    source: str, messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, prompt: bool
) -> None:
    options: dict[str, Any] = {
        "tools": tools,
        "documents": [{"title": "T", "text": "t"}],
        "add_generation_prompt": prompt,
    }
    expected = transformers_tokenizer().apply_chat_template(
        messages, chat_template=source, tokenize=False, extra=1, **options
    )
    assert ChatTemplate(source, TOKENS).render(messages, variables={"extra": 1}, **options) == expected


def test_json_is_not_escaped_for_html() -> None:
    rendered = ChatTemplate("{{ messages[0].content | tojson }}").render([{"role": "user", "content": "<é> & '🦙'"}])
    assert rendered == "\"<é> & '🦙'\""


def test_the_templates_own_exception_is_told_as_it_is() -> None:
    with pytest.raises(ChatTemplateError) as raised:
        ChatTemplate("{{ raise_exception('Roles must alternate!') }}").render(HI)
    assert raised.value.message == "Roles must alternate!"
    assert raised.value.status == 400


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages[0].nothing.more }}",
        "{{ messages[0].content + 1 }}",
        "{{ 1 / 0 }}",
        "{{ messages[5].content }}",
        "{{ undefined_function() }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for x in none %}{% endfor %}",
        "{{ nofilter | nothing }}",
    ],
)
def test_other_failures_are_a_400_too(source: str) -> None:
    with pytest.raises(ChatTemplateError) as raised:
        ChatTemplate(source).render(HI)
    assert raised.value.status == 400
    assert raised.value.message


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__.__base__.__subclasses__() }}",
        "{{ raise_exception.__globals__ }}",
        "{{ strftime_now.__globals__['json'] }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os }}",
        "{{ lipsum.__globals__['os'].popen('id') }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ dict.__class__.__init__.__globals__ }}",
        "{{ dict.mro() }}",
        "{{ (messages | attr('__class__')).__base__ }}",
        "{{ '{0.__class__.__mro__}'.format(messages) }}",
        "{{ '%s' | format(messages.__class__) }}{{ messages.__class__.__name__ }}",
        "{{ namespace(__class__=1) }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ messages.append(1) }}",
        "{{ messages[0].update({'content': 1}) }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 1000000000 * [1] }}",
        "{{ 9 ** 999999999 }}",
        "{{ range(99999999) | list }}",
    ],
)
def test_a_hostile_template_does_not_get_out(source: str) -> None:
    try:
        rendered = ChatTemplate(source).render(HI)
    except ChatTemplateError:
        return
    assert not any(secret in rendered for secret in ("class '", "built-in", "module", "root:", "uid="))


APPENDS = "{% set l = X %}{% set _ = l.append(1) %}{% set _ = l.append(2) %}{{ l.pop(0) }}{{ l }}"


@pytest.mark.parametrize("made", ["[]", "messages[1:]", "namespace(l=[]).l", "messages | map(attribute='x') | list"])
def test_a_template_may_change_its_own_lists(made: str) -> None:
    assert ChatTemplate(APPENDS.replace("X", made)).render(HI).endswith("2]")


@pytest.mark.parametrize("given", ["messages", "messages[0].content", "tools", "tools[0].function.parameters.required"])
def test_a_template_may_not_change_what_it_is_given(given: str) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "required": ["a"]}}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    source = "{{ messages[0].content[0].text }}{% if tools %}{{ X }}{% set _ = X.append(1) %}{% endif %}"
    with pytest.raises(ChatTemplateError, match="unsafe"):
        ChatTemplate(source.replace("X", given)).render(messages, tools=[tool])


def test_messages_are_not_changed_by_a_template() -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]
    before = json.dumps(messages)
    ChatTemplate("{% set _ = messages[0].content %}{{ messages }}").render(messages)
    assert json.dumps(messages) == before


@pytest.mark.parametrize(
    "source",
    [
        "{% set r = range(99999) | list %}{% for a in r %}{% for b in r %}{% endfor %}{% endfor %}",
        "{% set r = range(99999) | list %}{% for a in r %}{% for b in r if false %}{% endfor %}{% endfor %}",
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    ],
)
def test_a_template_does_not_run_for_ever(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_module, "RENDER_SECONDS", 0.1)
    started = time.monotonic()
    template = ChatTemplate("{% if messages[0].content == 'go' %}" + source + "{% endif %}")
    with pytest.raises(ChatTemplateError, match="too long"):
        template.render([{"role": "user", "content": "go"}])
    assert time.monotonic() - started < 5


STRINGS_ONLY = "{% for m in messages %}{{ m.role + ':' + m.content + ';' }}{% endfor %}"
PRINTS = "{% for m in messages %}{{ m.role }}:{{ m.content }};{% endfor %}"
PARTS_ONLY = "{% for m in messages %}{{ m.role }}:{% for p in m.content %}{{ p.text }}|{% endfor %};{% endfor %}"
BOTH = (
    "{% for m in messages %}{{ m.role }}:{% if m.content is string %}{{ m.content }}"
    "{% else %}{% for p in m.content %}{{ p.text }}|{% endfor %}{% endif %};{% endfor %}"
)


@pytest.mark.parametrize(
    ("source", "string", "parts"),
    [
        (STRINGS_ONLY, "user:a;", "user:a\nb;"),
        (PRINTS, "user:a;", "user:a\nb;"),
        (PARTS_ONLY, "user:a|;", "user:a|b|;"),
        (BOTH, "user:a;", "user:a|b|;"),
    ],
)
def test_content_arrives_in_the_form_that_the_template_takes(source: str, string: str, parts: str) -> None:
    template = ChatTemplate(source)
    two = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert template.render([{"role": "user", "content": "a"}]) == string
    assert template.render([{"role": "user", "content": two}]) == parts


def calling(arguments: Any) -> list[dict[str, Any]]:
    function = {"name": "f", "arguments": arguments}
    return [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": function}]},
    ]


CALLS = "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ X }}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("expression", "rendered"),
    [
        ("c.function.arguments | tojson", '{"a": "é"}'),
        ("c.function.arguments.a", "é"),
        ("'' + c.function.arguments", '{"a": "é"}'),
        ("c.function.arguments", '{"a": "é"}'),
        ("c.function | tojson", '{"name": "f", "arguments": {"a": "é"}}'),
    ],
)
@pytest.mark.parametrize("arguments", ['{"a": "é"}', {"a": "é"}])
def test_arguments_arrive_in_the_form_that_the_template_takes(expression: str, rendered: str, arguments: Any) -> None:
    assert ChatTemplate(CALLS.replace("X", expression)).render(calling(arguments)) == rendered


def test_arguments_that_are_no_json_object_stay_text() -> None:
    template = ChatTemplate(CALLS.replace("X", "c.function.arguments | tojson"))
    assert template.render(calling("{broken")) == '"{broken"'
    assert template.render(calling("3")) == '"3"'


def test_developer_is_system_where_the_template_does_not_know_it() -> None:
    messages = [{"role": "developer", "content": "x"}]
    assert ChatTemplate(PRINTS).render(messages) == "system:x;"
    assert ChatTemplate(PRINTS + "{# developer #}").render(messages) == "developer:x;"


def test_nulls_are_left_out_and_reasoning_has_its_names() -> None:
    template = ChatTemplate("{{ messages[0] }}")
    message = {"role": "assistant", "content": "x", "name": None, "reasoning": "r"}
    rendered = template.render([message])
    assert "name" not in rendered
    assert "'reasoning_content': 'r'" in rendered
    assert "'thinking': 'r'" in rendered


def test_variables_override_all_but_the_messages() -> None:
    template = ChatTemplate("{{ messages | length }} {{ add_generation_prompt }} {{ bos_token }} {{ enable_thinking }}")
    variables = {"messages": [], "add_generation_prompt": False, "bos_token": "B", "enable_thinking": True}
    assert template.render(HI, variables=variables) == "1 False B True"
