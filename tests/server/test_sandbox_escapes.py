"""Chat templates of hostile models: they don't get at Python, and take neither the memory nor the time of others."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from server.chat.sandbox import LARGEST
from server.chat.template import ChatTemplate, ChatTemplateError

HI = [{"role": "user", "content": "Hi"}]
GLOBALS = "cycler joiner namespace dict range raise_exception strftime_now messages self loop".split()

ESCAPES = [
    *(f"{{{{ {name}.__init__.__globals__ }}}}" for name in GLOBALS),
    *(f"{{{{ {name}.__class__.__mro__ }}}}" for name in GLOBALS),
    *(f"{{{{ ({name} | attr('__init__') | attr('__globals__'))['os'] }}}}" for name in GLOBALS),
    *(f"{{{{ {name}['__init__']['__globals__'] }}}}" for name in GLOBALS),
    *(f"{{{{ [{name}] | map(attribute='__class__.__base__') | list }}}}" for name in GLOBALS),
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__cl' ~ 'ass__'] }}",
    "{{ '' | attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ '' | attr(['_' * 2, 'class', '_' * 2] | join) }}",
    "{{ self._TemplateReference__context }}",
    "{{ self._TemplateReference__context.environment }}",
    "{{ cycler(1).next.__func__.__globals__ }}",
    "{{ joiner().__call__.__self__ }}",
    "{{ lipsum.__globals__ }}",
    "{{ dict.__call__.__globals__ }}",
    "{{ raise_exception.__code__.co_consts }}",
    "{% macro m() %}{{ caller.__closure__ }}{% endmacro %}{% call m() %}{% endcall %}",
    "{% macro m() %}{% endmacro %}{{ m._environment }}{{ m._func.__globals__ }}{{ m.__init__.__globals__ }}",
    "{% set g = messages | map('upper') %}{{ g.gi_frame.f_builtins }}",
    "{% set g = (x for x in messages) %}{{ g }}",
    "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}",
    "{{ '{a.__class__}'.format_map({'a': ''}) }}",
    "{{ ('{0.__cl' ~ 'ass__}').format('') }}",
    "{{ '%(x.__class__)s' % {'x': 1} }}",
    "{{ '{0.__class__}' | format('') }}",
    "{{ [''] | map('attr', '__class__') | list }}",
    "{{ [''] | map('format', '{0.__class__}') | list }}",
    "{{ messages | groupby('__class__') }}",
    "{{ messages | sort(attribute='__class__.__mro__') | map(attribute='__class__') | list }}",
    "{{ messages | sum(attribute='__class__', start=dict) }}",
    "{{ raise_exception.__class__('x') }}",
    "{% set x = raise_exception %}{{ x.__module__ }}{{ x.__wrapped__ }}",
    "{% set ns = namespace(_Namespace__attrs=1) %}{{ ns._Namespace__attrs }}",
    "{% set ns = namespace() %}{% set ns.__init__ = 1 %}",
    "{% include '/etc/passwd' %}",
    "{% import '/etc/passwd' as p %}{{ p }}",
    "{% from 'os' import popen %}{{ popen('id') }}",
    "{% extends '/etc/passwd' %}",
    "{% extends ['/etc/passwd', '../../etc/passwd'] %}",
    "{% block x %}{{ self.x.__globals__ }}{{ super.__self__ }}{% endblock %}",
    "{% for m in messages recursive %}{{ loop.__class__ }}{{ loop._iterable }}{% endfor %}",
    "{% for m in messages recursive %}{{ loop._recurse.__globals__ }}{% endfor %}",
    "{{ strftime_now('%Y' * 100000) }}",
    "{{ messages[0].update(content='changed') }}",
    "{{ messages[0].content.__add__('x') }}",
    "{{ messages.__reduce_ex__(4) }}",
    "{{ messages.clear() }}",
    "{{ environment }}{{ context }}{{ __builtins__ }}{{ __import__('os') }}{{ open('/etc/passwd') }}{{ eval('1') }}",
    "{{ debug() }}",
    "{% debug %}",
    "{% do messages.append(1) %}",
    "{% trans %}x{% endtrans %}",
]
SECRETS = ("<class '", "<function", "<module", "<bound", "<built-in", "builtins", "root:", "uid=", "changed", "'os'")


@pytest.mark.parametrize("source", ESCAPES)
def test_nothing_of_python_is_reached(source: str) -> None:
    try:
        shown = ChatTemplate(source).render(HI)
    except ChatTemplateError as error:
        shown = error.message
    assert not any(secret in shown for secret in SECRETS), shown[:500]


IN_A_LOOP = "{% set ns = namespace(x=START) %}{% for _ in range(99999) %}{% set ns.x = STEP %}{% endfor %}{{ ns.x }}"
DOUBLED_LIST = "{% set ns = namespace(a=[1]) %}{% for _ in range(60) %}{% set ns.a = [ns.a, ns.a] %}{% endfor %}"
KEPT = "{% set x = X %}{% set l = [] %}{% for i in range(99999) %}{% set _ = l.append(STEP) %}{% endfor %}"


def looped(start: str, step: str) -> str:
    return IN_A_LOOP.replace("START", start).replace("STEP", step)


def kept(value: str, step: str) -> str:
    return KEPT.replace("X", value).replace("STEP", step)


LONG = f"('x' * {LARGEST})"
MANY = "([1] * 2000000)"

BOMBS = [
    looped("'ab'", "ns.x + ns.x"),
    looped("'ab'", "ns.x ~ ns.x"),
    looped("'ab'", "ns.x * 2"),
    looped("[1]", "ns.x + ns.x"),
    looped("'ab'", "[ns.x, ns.x] | join"),
    looped("'ab'", "''.join([ns.x, ns.x])"),
    looped("'ab'", "'%s%s' % (ns.x, ns.x)"),
    looped("'ab'", "'{0}{0}'.format(ns.x)"),
    looped("'ab'", "'%s%s' | format(ns.x, ns.x)"),
    looped("'ab'", "ns.x | replace('a', 'aa')"),
    looped("'ab'", "ns.x.replace('b', 'bb')"),
    looped("'\\n'", "ns.x | indent(100, true, true)"),
    looped("'ab'", "{'a': ns.x, 'b': ns.x} | tojson"),
    looped("'a b'", "ns.x | wordwrap(1, wrapstring=ns.x)"),
    "{% set ns = namespace(x='ab') %}{% for _ in range(99) %}"
    "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}{% endfor %}",
    "{% macro m(x) %}{{ x }}{{ x }}{% endmacro %}" + looped("'ab'", "m(ns.x)"),
    DOUBLED_LIST + "{{ ns.a }}",
    DOUBLED_LIST + "{{ ns.a | tojson }}",
    DOUBLED_LIST + "{{ ns.a | string }}",
    DOUBLED_LIST + "{{ ns.a ~ '' }}",
    DOUBLED_LIST + "{{ '%s' % (ns.a,) }}",
    "{{ 'x'.center(1000000000) }}",
    "{{ 'x'.ljust(1000000000) }}",
    "{{ 'x'.zfill(1000000000) }}",
    "{{ 'x' | center(1000000000) }}",
    "{{ '%1000000000d' % 1 }}",
    "{{ '%*d' % (1000000000, 1) }}",
    "{{ '%.1000000000f' % 1 }}",
    "{{ '{:1000000000}'.format(1) }}",
    "{{ '{:{}}'.format(1, 1000000000) }}",
    "{{ '{:{}}'.format(1, '1000000000') }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '\\t'.expandtabs(1000000000) }}",
    "{{ 'aaaa'.translate({97: 'x' * 16000000}) }}",
    "{{ [1] | batch(1000000000, 'x') | list }}",
    "{{ [1] | slice(1000000000) | list }}",
    "{{ 'a\\nb' | indent(1000000000) }}",
    "{{ [[1]] | tojson(indent=1000000000) }}",
    "{{ 'x' | truncate(1, end='x' * 99999999) }}",
    "{{ [1, 2] | sum(start=[1] * 1000000) }}",
    "{{ range(999999999) | list }}",
    "{{ lipsum(n=1000000000) }}",
    f"{{% set x = {LONG} %}}{{% for _ in range(99999) %}}{{{{ x }}}}{{% endfor %}}",
    f"{{% set x = {LONG} %}}{{{{ [x] * 99999 | int }}}}",
    kept(LONG, "x[i:]"),
    kept(LONG, "x.upper()"),
    kept(LONG, "x | lower"),
    kept(MANY, "x | list"),
    looped("9", "ns.x * ns.x"),
    looped("9", "ns.x ** 2"),
    "{{ 9 ** (9 ** 9) }}",
    "{{ ('f' * 16000000) | int(base=16) // 7 }}",
    "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
    "{% macro m(n) %}{% for _ in range(9) %}{{ m(n) if n < 9 else '' }}{% endfor %}{% endmacro %}{{ m(0) }}",
    "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "{% for m in messages recursive %}{{ loop(messages) }}{{ loop(messages) }}{% endfor %}",
    "{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{{ range(99999) | map('string') | map('center', 9999999) | join | length }}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "-" * 50_000 + "1 }}",
    "{{ x" + ".x" * 50_000 + " }}",
    "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "{% for a in messages %}" * 60 + "{% endfor %}" * 60,
]
"""Each would take more memory or time than there is."""

RENDER_ALL = """
import json, resource, sys
from server.chat import template
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
template.RENDER_SECONDS = 0.2
for source in json.load(sys.stdin):
    try:
        said = "rendered: " + template.ChatTemplate(source).render([{"role": "user", "content": "Hi"}])[:100]
    except template.ChatTemplateError as error:
        said = error.message
    print(json.dumps(said[:300]), flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux heeds the limit of memory")
def test_bombs_do_not_go_off() -> None:
    """In a process with 3 GiB of address space: one that went off would end it, or be a MemoryError."""
    run = subprocess.run(
        [sys.executable, "-c", RENDER_ALL], input=json.dumps(BOMBS), capture_output=True, text=True, timeout=300,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    results: list[str] = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(results) == len(BOMBS), (BOMBS[len(results)], run.stderr[-2000:])
    for source, said in zip(BOMBS, results, strict=True):
        assert "MemoryError" not in said, source[:200]
        assert not said.startswith("rendered") or len(source) > 500, (source[:200], said)


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("{{ 'a' + 'b' ~ 1 ~ none }}", "ab1None"),
        ("{{ [1, 2] + [3] }}", "[1, 2, 3]"),
        ("{{ '%s-%03d' % ('a', 7) }}{{ '%s' | format('b') }}", "a-007b"),
        ("{{ '{:>4}|{x}'.format('a', x=1) }}", "   a|1"),
        ("{{ 'a'.center(5) }}{{ 'b' | center(3) }}|", "  a   b |"),
        ("{{ ','.join(messages | map(attribute='role')) }}", "user"),
        ("{{ 'abc' | join('-') }}{{ {'a': 1} | join }}{{ missing | join }}", "a-b-ca"),
        ("{{ 'a\nb' | indent(2) }}{{ 'abc'[1:] }}{{ [1, 2, 3][:-1] }}", "a\n  bbc[1, 2]"),
        ("{{ [1, 2, 3] | batch(2) | list }}{{ [3, 1] | sort | first }}{{ [1, 2] | sum }}", "[[1, 2], [3]]13"),
        ("{{ 'abcdef' | truncate(4) }}{{ '7' | int + 1 }}{{ 2 ** 10 }}{{ 7 % 4 }}", "abcdef810243"),
        ("{% filter upper %}a{% endfilter %}{% set x %}b{% endset %}{{ x * 2 }}", "Abb"),
    ],
)
def test_what_templates_may_do_they_can(source: str, shown: str) -> None:
    assert ChatTemplate(source).render(HI) == shown


def test_a_long_conversation_is_not_too_large() -> None:
    """10,000 messages of 1,000 characters, put together the slow way."""
    messages = [{"role": "user", "content": "x" * 1000}] * 10_000
    source = "{% for m in messages %}{{ '<' + m.role ~ '>' + m.content | trim }}{% set x = messages[1:] %}{% endfor %}"
    assert len(ChatTemplate(source).render(messages)) > 10_000_000
