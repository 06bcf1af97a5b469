"""Attacks on a real server: each is refused or harmless, tells nothing, and the next request is served."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from .attacks import MARK, harmless, memory, still_serves, told_nothing
from .serving import DEMO, Server, serving

CHAT, TEXT, NATIVE, TEMPLATE = "/v1/chat/completions", "/v1/completions", "/completion", "/apply-template"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """With a deadline, so that a lucky attack doesn't generate for long."""
    with serving("--timeout", "20") as server:
        yield server


@pytest.fixture(autouse=True)
def unharmed(server: Server) -> Iterator[None]:
    yield
    still_serves(server)
    told_nothing(server)


def says(text: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": text}]


# --- what templates are given ---

INJECTIONS = [
    "{{ 7 * 7 }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ lipsum.__globals__['os'].environ }}",
    "{{ self._TemplateReference__context }}",
    "{% for i in range(999999999) %}x{% endfor %}",
    "{% include '/etc/passwd' %}",
    "#set($x=1) ${7*7} <%= 7*7 %> #{7*7}",
    "{0.__class__.__init__.__globals__} %(x)s %n",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_what_a_request_says_is_no_template(server: Server, text: str) -> None:
    tool = {"type": "function", "function": {"name": "f", "description": text, "parameters": {"type": "object"}}}
    body = {"messages": [*says(text), {"role": "assistant", "content": text}], "chat_template": text, "tools": [tool]}
    prompt = harmless(server.post(TEMPLATE, {**body, "messages": [*body["messages"], *says("Hi")]}), 200)["prompt"]
    assert prompt.count(text) >= 2
    assert "49" not in prompt and "uid=" not in prompt and "root:" not in prompt


@pytest.mark.parametrize(
    "given",
    [
        {"messages": says(MARK)},
        {"self": 1, "loop": 1, "caller": 1, "varargs": 1, "kwargs": 1, "context": 1, "environment": 1},
        {"range": "x", "namespace": "x", "dict": "x", "raise_exception": "x", "strftime_now": "x", "cycler": "x"},
        {"__class__": "x", "_": "x", "": "x", "a b": "x", "0": "x", "{{": "}}", "import os": 1, "é": 1},
        {"tools": 7, "documents": 7, "bos_token": {}, "eos_token": [1], "add_generation_prompt": "x"},
        {"tools": [{"type": "function", "function": {"name": "f" * 10_000}}] * 100},
        {"enable_thinking": "x"},
        {str(n): n for n in range(100_000)},
    ],
)
def test_what_a_request_gives_the_template_is_data(server: Server, given: dict[str, Any]) -> None:
    for path in (TEMPLATE, CHAT):
        body = {"model": DEMO, "messages": says(MARK), "chat_template_kwargs": given, "max_tokens": 2}
        answer = harmless(server.post(path, body), 200, 400)
        assert "messages" in given or MARK in answer.get("prompt", MARK)


# --- bodies that are hard to read ---

WIDE = "{" + ",".join(f'"{n}": 1' for n in range(300_000)) + "}"

UNREADABLE: dict[str, bytes] = {
    "wide": WIDE.encode(),
    "deep": b"[" * 200_000,
    "deep and closed": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "duplicate keys": b'{"model": "m", "model": "m"}',
    "digits": b'{"model": "m", "n": ' + b"9" * 1_000_000 + b"}",
    "infinite": b'{"temperature": 1e999999}',
    "NaN": b'{"temperature": NaN}',
    "lone surrogate": b'{"prompt": "\\ud800"}',
    "not UTF-8": b'{"prompt": "\xff\xfe"}',
    "UTF-16": '{"prompt": "x"}'.encode("utf-16"),
    "control characters": b'{"prompt": "\x00\x1b[31m"}',
    "empty": b"",
    "two values": b"{}{}",
    "values": b"[" + b"[]," * 3_000_000 + b"[]]",
    "gzip bytes": gzip.compress(b"{}" * 1000),
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("path", [CHAT, NATIVE])
def test_unreadable(server: Server, name: str, path: str) -> None:
    harmless(httpx.post(server.root + path, content=UNREADABLE[name], timeout=60), 400, 413)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "\x01", "x" * 5000])
def test_compressed(server: Server, encoding: str) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    headers = {"Content-Encoding": encoding.encode()}
    response = httpx.post(server.root + CHAT, content=bomb, headers=headers, timeout=60)
    assert response.status_code in (400, 415)


# --- bodies that ask for much ---


def linked(n: int, last: Any, **first: Any) -> dict[str, Any]:
    """n definitions, each of which refers twice to the next one."""
    refs = [{"$ref": f"#/$defs/d{k + 1}"} for k in range(n)]
    definitions = {f"d{k}": {"type": "object", "properties": {"a": ref, "b": ref}} for k, ref in enumerate(refs)}
    return {"$ref": "#/$defs/d0", "$defs": {**definitions, f"d{n}": last}, **first}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    return schema


SCHEMAS: dict[str, Any] = {
    "a cycle": {"$ref": "#"},
    "a cycle of two": {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    "a cycle through allOf": {"$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"},
    "required for ever": {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
    "10,000 properties": {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(10_000)}},
    "10,000 required ones": {
        "type": "object",
        "properties": {f"p{n}": {"type": "integer"} for n in range(10_000)},
        "required": [f"p{n}" for n in range(10_000)],
    },
    "60 deep": nested(60),
    "doubling": linked(40, {"type": "string"}),
    "doubling, with anyOf": {
        "$defs": {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)}
        | {"d30": {"type": "null"}},
        "$ref": "#/$defs/d0",
    },
    "doubling, with allOf": {
        "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(30)}
        | {"d30": {"type": "null"}},
        "$ref": "#/$defs/d0",
    },
    "a long string": {"type": "string", "minLength": 10**9},
    "a long list": {"type": "array", "items": {"type": "integer"}, "minItems": 10**9},
    "a large number": {"type": "integer", "minimum": 10**300, "maximum": 10**301},
    "a fine number": {"type": "number", "multipleOf": 1e-300},
    "100,000 values": {"enum": [f"v{n}" for n in range(100_000)]},
    "a value of 1 MB": {"const": "x" * 1_000_000},
    "a pattern": {"type": "string", "pattern": "^(a+)+$"},
    "a pattern with counts": {"type": "string", "pattern": "((a{1000}){1000}){1000}"},
    "a remote reference": {"$ref": "http://127.0.0.1:1/x.json"},
    "a file": {"$ref": "file:///etc/passwd"},
    "prototype": {"type": "object", "properties": {"__proto__": {"type": "string"}, "__class__": {"type": "string"}}},
    "names": {"type": "object", "properties": {'\n\x00"\\': {"type": "string"}}, "required": ['\n\x00"\\']},
}


@pytest.mark.parametrize("name", SCHEMAS)
def test_schemas(server: Server, name: str) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMAS[name], "strict": True}}
    body = {"model": DEMO, "messages": says(MARK), "max_tokens": 2, "response_format": schema}
    harmless(server.post(CHAT, body), 200, 400)
    tool = {"type": "function", "function": {"name": "f", "parameters": SCHEMAS[name], "strict": True}}
    body = {"model": DEMO, "messages": says(MARK), "max_tokens": 2, "tools": [tool], "tool_choice": "required"}
    harmless(server.post(CHAT, body), 200, 400)


def test_a_schema_of_5000_levels_is_no_json_here(server: Server) -> None:
    levels = 5000
    schema = '{"properties":{"a":' * levels + "{}" + "}}" * levels
    body = f'{{"model": "{DEMO}", "prompt": "{MARK}", "json_schema": {schema}}}'
    answer = harmless(httpx.post(server.root + TEXT, content=body, timeout=60), 400)
    assert answer["error"]["code"] == "invalid_json"


TWICE = "".join(f"r{n} ::= r{n + 1} r{n + 1}\n" for n in range(40))
GRAMMARS: dict[str, dict[str, Any]] = {
    "nested repetition": {"structured_outputs": {"regex": "(a+)+$"}},
    "alternatives": {"structured_outputs": {"regex": "(a|a|a|a)*b"}},
    "counts of counts": {"structured_outputs": {"regex": "((((a{99}){99}){99}){99}){99}"}},
    "a count": {"structured_outputs": {"regex": "[ab]{1000000000}"}},
    "overlaps": {"structured_outputs": {"regex": "(.*a){40}"}},
    "groups": {"structured_outputs": {"regex": "(" * 50_000 + ")" * 50_000}},
    "classes": {"structured_outputs": {"regex": "[\\p{L}\\P{L}]{500}" * 50}},
    "looking ahead": {"structured_outputs": {"regex": "(?=a)(?!b)(?<=c)a\\1"}},
    "100,000 choices": {"structured_outputs": {"choice": [f"c{n}" for n in range(100_000)]}},
    "left recursion": {"grammar": 'root ::= root "a" | "a"'},
    "no end": {"grammar": "root ::= root"},
    "nothing": {"grammar": 'root ::= ""'},
    "doubling": {"grammar": f'root ::= r0\n{TWICE}r40 ::= "a"'},
    "parentheses": {"grammar": "root ::= " + "(" * 50_000 + '"a"' + ")" * 50_000},
    "a repetition": {"grammar": 'root ::= ("a"{1,100000}){1,100000}'},
    "10,000 rules": {"grammar": "\n".join(f'r{n} ::= "{n}"' for n in range(10_000)) + "\nroot ::= r0"},
    "lark": {"structured_outputs": {"grammar": 'start: a\n%import common.WORD\n%include "/etc/passwd"\na: a a | "x"'}},
}


@pytest.mark.parametrize("name", GRAMMARS)
def test_grammars(server: Server, name: str) -> None:
    body = {"model": DEMO, "prompt": MARK, "max_tokens": 2, **GRAMMARS[name]}
    harmless(server.post(TEXT, body), 200, 400)


MUCH: dict[str, tuple[str, dict[str, Any], int]] = {
    "n and max_tokens": (CHAT, {"messages": says(MARK), "n": 128, "max_tokens": 2**31 - 1}, 400),
    "n beyond": (CHAT, {"messages": says(MARK), "n": 2**31}, 400),
    "max_tokens beyond": (TEXT, {"prompt": MARK, "max_tokens": 10**300}, 400),
    "n of prompts": (TEXT, {"prompt": [MARK] * 1024, "n": 128}, 400),
    "many prompts": (TEXT, {"prompt": [MARK] * 100_000}, 400),
    "best of": (TEXT, {"prompt": MARK, "best_of": 10**9}, 400),
    "logit_bias": (TEXT, {"prompt": MARK, "logit_bias": {str(n): 1 for n in range(200_000)}}, 400),
    "logit_bias of unknown tokens": (TEXT, {"prompt": MARK, "logit_bias": {str(2**31): 100, str(-1): 1}}, 400),
    "logit_bias of texts": (NATIVE, {"prompt": MARK, "logit_bias": [["x" * 100_000, 1]] * 1000, "n_predict": 1}, 0),
    "NaN as text": (TEXT, {"prompt": MARK, "temperature": "NaN"}, 400),
    "infinity as text": (TEXT, {"prompt": MARK, "top_p": "Infinity"}, 400),
    "a number as text": (TEXT, {"prompt": MARK, "max_tokens": "5"}, 400),
    "float32's end": (TEXT, {"prompt": MARK, "repeat_penalty": 1e39}, 400),
    "stop strings": (TEXT, {"prompt": MARK, "stop": ["x"] * 100_000}, 400),
    "a stop string": (TEXT, {"prompt": MARK, "stop": "x" * 1_000_000}, 400),
    "a stop string that is no expression": (TEXT, {"prompt": "Once", "stop": "(a+)+$", "max_tokens": 2}, 200),
    "breakers": (TEXT, {"prompt": MARK, "dry_sequence_breakers": ["x"] * 100_000}, 400),
    "tokens": (TEXT, {"prompt": [2**31 - 1] * 10}, 400),
    "negative tokens": (NATIVE, {"prompt": [-1, -(2**63)]}, 400),
    "huge tokens": (NATIVE, {"prompt": [10**300]}, 400),
    "detokenize": ("/detokenize", {"tokens": [2**31 - 1]}, 400),
    "messages": (CHAT, {"messages": says("") * 100_000}, 0),
    "parts": (CHAT, {"messages": says([{"type": "text", "text": "x"}] * 50_000)}, 0),
    "tools": (CHAT, {"messages": says(MARK), "tools": [{"type": "function", "function": {"name": "f"}}] * 2000}, 400),
    "a picture from inside": (
        CHAT,
        {"messages": says([{"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}}])},
        400,
    ),
    "a file": (CHAT, {"messages": says([{"type": "file", "file": {"file_id": "../../etc/passwd"}}])}, 400),
    "metadata": (CHAT, {"messages": says(MARK), "metadata": {str(n): "x" for n in range(100_000)}}, 400),
    "response_fields": (
        NATIVE,
        {"prompt": "a", "n_predict": 1, "response_fields": ["__class__/x", "/" * 9000]},
        200,
    ),
}


@pytest.mark.parametrize("name", MUCH)
def test_asking_for_much(server: Server, name: str) -> None:
    path, body, status = MUCH[name]
    harmless(server.post(path, {"model": DEMO, **body}), *([status] if status else [200, 400, 413]))


def test_the_largest_body_is_the_most_that_is_held(server: Server) -> None:
    """One that never ends is cut off at --max-body-size, announced or not."""
    before = memory(server)
    answer = httpx.post(server.root + CHAT, content=(b" " * 65536 for _ in range(1000)), timeout=60)
    assert answer.status_code == 413
    answer = httpx.post(server.root + CHAT, content=b" " * (33 << 20), timeout=60)
    assert answer.status_code == 413
    assert memory(server) - before < 200 << 20


# --- names ---

NAMES = [
    "../../etc/passwd", "..\\..\\windows\\win.ini", "/etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "paddock-demo/..",
    "paddock-demo\x00", "paddock-demo\n", "\r\nSet-Cookie: a=b", "\x1b[31mred\x1b[0m", "x" * 100_000, "", " ", "'", '"',
    "${jndi:ldap://127.0.0.1/a}", "{{7*7}}", "%s%n", "\u202egnp.exe", "PADDOCK-DEMO", "paddock-demo ",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names(server: Server, name: str) -> None:
    answer = harmless(server.post(CHAT, {"model": name, "messages": says(MARK)}), 404)
    assert answer["error"]["code"] == "model_not_found"
    assert "root:" not in json.dumps(answer)
    response = httpx.get(f"{server.root}/v1/models/{quote(name[:5000], safe='')}", timeout=60)
    harmless(response, 404)
    assert "set-cookie" not in response.headers
