"""Who answers: a running OpenAI-compatible server, or llama.cpp in this process."""

import json
import re
import urllib.request
from typing import Any, Protocol

from demo.dialogue import BOS, Dialogue, render
from demo.evaluation.cases import Reply

MAX_TOKENS = 900
_CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)


class Client(Protocol):
    """Answers greedily."""

    def answer(self, prompt: Dialogue | str) -> Reply:
        """The reply to a dialogue, or the continuation of raw text."""
        ...


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return None


def read_reply(text: str) -> Reply:
    """A reply out of the text that the model wrote."""
    reply = Reply()
    if "</think>" in text:
        reasoning, text = text.split("</think>", 1)
        reply.reasoning = reasoning.removeprefix("<think>").strip("\n")
        text = text.lstrip("\n")
    for call in _CALL.findall(text):
        value = _arguments(call) or {}
        reply.calls.append((str(value.get("name")), value.get("arguments")))
    reply.text = _CALL.sub("", text) if reply.calls else text
    return reply


def _rendered(prompt: Dialogue | str) -> str:
    """The prompt as text without its BOS token, which whoever tokenizes it adds."""
    return prompt if isinstance(prompt, str) else render(prompt, add_generation_prompt=True).removeprefix(BOS)


class InProcess:
    """The GGUF file in llama.cpp, without a server."""

    def __init__(self, path: str, threads: int) -> None:
        import llama_cpp  # type: ignore[import-untyped,import-not-found,unused-ignore]

        self.model = llama_cpp.Llama(path, n_ctx=2048, n_threads=threads, n_threads_batch=threads, verbose=False)
        self.end_of_generation = llama_cpp.llama_vocab_is_eog
        self.vocabulary = llama_cpp.llama_model_get_vocab(self.model.model)

    def answer(self, prompt: Dialogue | str) -> Reply:
        """Greedy decoding until the model ends its turn."""
        tokens = self.model.tokenize(_rendered(prompt).encode(), add_bos=True, special=True)
        said: list[int] = []
        for token in self.model.generate(tokens, temp=0.0, repeat_penalty=1.0):
            if self.end_of_generation(self.vocabulary, token) or len(said) == MAX_TOKENS:
                break
            said.append(token)
            if isinstance(prompt, str) and len(said) == 16:
                break
        return read_reply(self.model.detokenize(said, prev_tokens=tokens).decode(errors="replace"))


class Server:
    """An OpenAI-compatible server; with `raw`, the template is rendered here and /v1/completions continues it."""

    def __init__(self, base_url: str, model: str, api_key: str, raw: bool) -> None:
        self.base_url, self.model, self.api_key, self.raw = base_url.rstrip("/"), model, api_key, raw

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        body = {"model": self.model, "temperature": 0, "max_tokens": MAX_TOKENS} | body
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {self.api_key}"}
        request = urllib.request.Request(self.base_url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as response:
            choice: dict[str, Any] = json.load(response)["choices"][0]
            return choice

    def answer(self, prompt: Dialogue | str) -> Reply:
        """One request."""
        if isinstance(prompt, str):
            return Reply(self._post("/completions", {"prompt": prompt, "max_tokens": 16})["text"])
        if self.raw:
            return read_reply(self._post("/completions", {"prompt": _rendered(prompt)})["text"])
        body: dict[str, Any] = {"messages": with_call_ids(prompt)}
        if prompt.tools:
            body["tools"] = prompt.tools
        if prompt.think:
            body["chat_template_kwargs"] = {"enable_thinking": True}
        message = self._post("/chat/completions", body)["message"]
        reply = read_reply(message.get("content") or "")
        reply.reasoning = reply.reasoning or (message.get("reasoning_content") or "").strip("\n")
        for call in message.get("tool_calls") or []:
            reply.calls.append((call["function"]["name"], _arguments(call["function"]["arguments"])))
        return reply


def with_call_ids(prompt: Dialogue) -> list[dict[str, Any]]:
    """The messages in OpenAI's exact form: calls have ids, arguments are text, results name their call."""
    messages: list[dict[str, Any]] = []
    open_ids: list[str] = []
    for index, message in enumerate(prompt.messages):
        if message.get("tool_calls"):
            calls = []
            for number, call in enumerate(message["tool_calls"]):
                open_ids.append(f"call_{index}_{number}")
                function = call["function"] | {"arguments": json.dumps(call["function"]["arguments"])}
                calls.append({"id": open_ids[-1], "type": "function", "function": function})
            messages.append(message | {"tool_calls": calls})
        elif message["role"] == "tool":
            messages.append(message | {"tool_call_id": open_ids.pop(0)})
        else:
            messages.append(message)
    return messages
