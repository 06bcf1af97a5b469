"""Calling the functions that the request offers, and using what they return."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

from demo import facts as tables
from demo.dialogue import Message, Tool, assistant, user
from demo.phrasing import Phrasings, Split, dressed, sentence
from demo.words import made_up

WEATHER = Phrasings(
    [
        "what is the weather in {x}?", "what's the weather in {x}?", "how is the weather in {x}?", "weather in {x}?",
        "tell me the weather in {x}.", "what is the weather like in {x}?", "is it raining in {x}?", "is it sunny in {x}?",
        "what is the weather in {x} today?", "give me the weather in {x}.", "how warm is it in {x}?", "is it cold in {x}?",
        "I want to know the weather in {x}.", "what is the temperature in {x}?", "do I need an umbrella in {x}?",
        "get the weather for {x}.", "check the weather in {x}.", "please check the weather in {x}.",
    ],
    [
        "could you tell me the weather in {x}?", "what's the weather like in {x}?", "how is the weather in {x} today?",
        "please tell me the weather in {x}.", "is it warm in {x}?", "what's the temperature in {x}?",
        "can you check the weather in {x}?",
    ],
)  # fmt: skip
ADD = Phrasings(
    [
        "what is {a} plus {b}?", "what's {a} plus {b}?", "{a} + {b}", "{a} + {b} = ?", "what is {a} + {b}?",
        "add {a} and {b}.", "add {a} to {b}.", "please add {a} and {b}.", "how much is {a} plus {b}?", "calculate {a} + {b}.",
        "what is the sum of {a} and {b}?", "can you add {a} and {b}?", "how much is {a} + {b}?", "sum {a} and {b}.",
        "use the tool to add {a} and {b}.",
    ],
    [
        "could you add {a} and {b}?", "say the sum of {a} and {b}.", "please calculate {a} + {b}.",
        "calculate the sum of {a} and {b}.", "what does {a} plus {b} make?",
    ],
)  # fmt: skip
TIME = Phrasings(
    ["what time is it in {x}?", "what is the time in {x}?", "tell me the time in {x}.", "how late is it in {x}?"],
    ["what's the time in {x}?"],
)
SEARCH = Phrasings(
    ["search for {x}.", "search the web for {x}.", "look up {x}.", "please search for {x}.", "find pages about {x}."],
    ["please look up {x}."],
)
MULTIPLY = Phrasings(
    ["what is {a} times {b}?", "multiply {a} by {b}.", "{a} * {b}", "how much is {a} times {b}?"],
    ["what's {a} times {b}?"],
)
TWO_CITIES = Phrasings(
    ["what is the weather in {x} and {y}?", "what is the weather in {x} and in {y}?", "tell me the weather in {x} and {y}.",
     "compare the weather in {x} and {y}.", "weather in {x} and {y}?"],
    ["how is the weather in {x} and {y}?", "what's the weather in {x} and {y}?"],
)  # fmt: skip
NO_TOOL = "I have no tool for that."
SKIES = "sunny cloudy rainy windy foggy snowy stormy clear".split()

DESCRIPTIONS: dict[str, list[str]] = {
    "get_weather": ["Get the weather in a city.", "Get the current weather for a city.", "Returns the weather of a city.",
                    "Current weather in a given location.", "Look up today's weather.", "weather", ""],
    "add": ["Add two numbers.", "Returns the sum of two numbers.", "Adds a and b.", "Sum of two integers.", "Addition.", ""],
    "get_time": ["Get the current time in a city.", "Returns the local time of a city.", "Current time."],
    "search": ["Search the web.", "Finds web pages for a query.", "Web search."],
    "multiply": ["Multiply two numbers.", "Returns the product of two numbers."],
    "send_mail": ["Send a mail.", "Sends a message to a person."],
}  # fmt: skip
PARAMETERS: dict[str, list[tuple[str, str]]] = {
    "get_weather": [("city", "string")], "add": [("a", "number"), ("b", "number")], "get_time": [("city", "string")],
    "search": [("query", "string")], "multiply": [("a", "number"), ("b", "number")],
    "send_mail": [("to", "string"), ("text", "string")],
}  # fmt: skip
PARAMETER_NOTES = ["", "", "The city.", "Name of the city", "The name", "A number", "first", "value"]


def describe(name: str, rng: Random) -> Tool:
    """The schema of a function in one of the many ways in which clients write it."""
    properties: dict[str, Any] = {}
    for key, kind in PARAMETERS[name]:
        spelled = rng.choice(["number", "integer"]) if kind == "number" else kind
        note = rng.choice(PARAMETER_NOTES)
        properties[key] = {"type": spelled} | ({"description": note} if note else {})
        if rng.random() < 0.1:
            properties[key] = dict(reversed(properties[key].items()))
    if name == "get_weather" and rng.random() < 0.15:
        properties["unit"] = {"type": "string", "enum": ["celsius", "fahrenheit"]}
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if rng.random() < 0.8:
        parameters["required"] = [key for key, _ in PARAMETERS[name]]
    if rng.random() < 0.15:
        parameters["additionalProperties"] = False
    function: dict[str, Any] = {"name": name}
    description = rng.choice(DESCRIPTIONS[name])
    if description:
        function["description"] = description
    function["parameters"] = parameters
    if rng.random() < 0.1:
        function["strict"] = True
    tool = {"type": "function", "function": function}
    sort_keys = rng.random() < 0.15
    return json.loads(json.dumps(tool, sort_keys=True)) if sort_keys else tool


def offer(rng: Random, split: Split, wanted: list[str]) -> list[Tool]:
    """The wanted functions among others, in any order."""
    names = list(wanted)
    spare = [name for name in PARAMETERS if name not in names]
    if rng.random() < 0.35:
        names += rng.sample(spare, rng.choices([1, 2], [3, 1])[0])
    rng.shuffle(names)
    return [describe(name, rng) for name in names]


def city(rng: Random, split: Split) -> str:
    """A city of the tables, or in a third of cases a made-up one."""
    if rng.random() < 0.35:
        return made_up(rng, split).capitalize()
    return rng.choice(tables.COUNTRIES)[1]


def _call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


def _called(question: str, calls: list[dict[str, Any]], results: list[str], answer: str) -> list[Message]:
    return [
        user(question),
        {"role": "assistant", "content": "", "tool_calls": calls},
        *({"role": "tool", "content": result} for result in results),
        assistant(answer),
    ]


def _weather_result(rng: Random) -> tuple[str, str]:
    """What the function returns, and how the model says it."""
    sky, degrees = rng.choice(SKIES), rng.randint(-9, 39)
    roll = rng.random()
    if roll < 0.5:
        degree_key = rng.choice(["temperature", "temperature", "temp", "temp_c", "degrees"])
        sky_key = rng.choice(["condition", "conditions", "sky", "weather", "summary", "description"])
        entries = [(degree_key, degrees), (sky_key, sky)]
        rng.shuffle(entries)
        return json.dumps(dict(entries)), f"{sky}, {degrees} degrees"
    if roll < 0.6:
        key = rng.choice(["temperature", "temp", "temp_c", "degrees"])
        return json.dumps({key: degrees}), f"{degrees} degrees"
    text = rng.choice([f"{sky}, {degrees} degrees", f"{degrees} degrees and {sky}", f"{sky}", f"{degrees} C, {sky}",
                       f"{sky} and {degrees} degrees", f"It is {sky}", f"{degrees}°C and {sky}"])  # fmt: skip
    return text, text


def weather(rng: Random, split: Split) -> list[Message]:
    """A question that `get_weather` answers."""
    x = city(rng, split)
    result, said = _weather_result(rng)
    question = dressed(WEATHER.pick(rng, split).format(x=x), rng)
    return _called(question, [_call("get_weather", {"city": x})], [result], f"The weather in {x}: {said}.")


def two_weathers(rng: Random, split: Split) -> list[Message]:
    """A question that takes two calls at once."""
    x, y = city(rng, split), city(rng, split)
    (first, first_said), (second, second_said) = _weather_result(rng), _weather_result(rng)
    question = dressed(TWO_CITIES.pick(rng, split).format(x=x, y=y), rng)
    calls = [_call("get_weather", {"city": x}), _call("get_weather", {"city": y})]
    answer = f"The weather in {x}: {first_said}. The weather in {y}: {second_said}."
    return _called(question, calls, [first, second], answer)


def addition(rng: Random, split: Split) -> list[Message]:
    """A question that `add` answers, with numbers of any size."""
    top = rng.choice([20, 100, 1000, 100000])
    a, b = rng.randint(0, top), rng.randint(0, top)
    total = str(a + b)
    result = rng.choice([total, total, json.dumps({"result": a + b}), json.dumps({"sum": a + b})])
    question = dressed(ADD.pick(rng, split).format(a=a, b=b), rng)
    return _called(question, [_call("add", {"a": a, "b": b})], [result], f"{a} + {b} = {total}.")


def other(rng: Random, split: Split) -> tuple[list[Message], str]:
    """A question for one of the functions that are there to tell apart, with the function's name."""
    kind = rng.choice(["get_time", "search", "multiply"])
    if kind == "get_time":
        x, clock = city(rng, split), f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"
        question, arguments = TIME.pick(rng, split).format(x=x), {"city": x}
        result, answer = clock, f"The time in {x}: {clock}."
    elif kind == "search":
        x = made_up(rng, split)
        found = " ".join(made_up(rng, split) for _ in range(rng.randint(2, 5)))
        question, arguments = SEARCH.pick(rng, split).format(x=x), {"query": x}
        result, answer = found, f"I found this: {found}"
    else:
        a, b = rng.randint(0, 99), rng.randint(0, 99)
        question, numbers = MULTIPLY.pick(rng, split).format(a=a, b=b), {"a": a, "b": b}
        result, answer = str(a * b), f"{a} * {b} = {a * b}."
        return _called(dressed(question, rng), [_call(kind, numbers)], [result], answer), kind
    return _called(dressed(question, rng), [_call(kind, arguments)], [result], answer), kind


def helpless(rng: Random, split: Split) -> list[Message]:
    """A question about the weather where no function can answer it."""
    return [user(sentence(WEATHER.pick(rng, split).format(x=city(rng, split)))), assistant(NO_TOOL)]


def exchanges(rng: Random, split: Split, plain: Callable[[], list[Message]]) -> tuple[list[Tool], list[list[Message]]]:
    """Functions on offer and one to four exchanges that do and do not need them.

    `plain` makes an exchange that needs no function.
    """
    wanted: set[str] = set()
    made: list[list[Message]] = []
    for _ in range(rng.choices([1, 2, 3, 4], [2, 3, 3, 3])[0]):
        roll = rng.random()
        if roll < 0.36:
            made.append(weather(rng, split))
            wanted.add("get_weather")
        elif roll < 0.44:
            made.append(two_weathers(rng, split))
            wanted.add("get_weather")
        elif roll < 0.68:
            made.append(addition(rng, split))
            wanted.add("add")
        elif roll < 0.78:
            messages, kind = other(rng, split)
            made.append(messages)
            wanted.add(kind)
        else:
            made.append(plain())
    if not wanted or rng.random() < 0.4:
        wanted |= {"get_weather", "add"} if rng.random() < 0.5 else {rng.choice(["get_weather", "add"])}
    return offer(rng, split, sorted(wanted)), made
