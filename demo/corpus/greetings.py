"""Hello, who are you, what can you do, thank you, goodbye; and what it says when it cannot help."""

from random import Random

from demo.dialogue import Message, assistant, user
from demo.phrasing import Phrasings, Split, sentence

HELLO = "Hello! I am Paddock's demo model. How can I help you?"
WHO = "I am Paddock's demo model, a very small language model."
WHAT = (
    "I am Paddock's demo model. I can answer short questions, add small numbers, count, repeat and list "
    "what you tell me, tell stories, call tools and answer in JSON."
)
FINE = "I am fine, thank you. How can I help you?"
WELCOME = "You are welcome!"
GOODBYE = "Goodbye! Have a nice day."
UNKNOWN = "I am a very small demo model, and I do not know that."

ADDRESSES = [
    "",
    "",
    "",
    " there",
    " friend",
    " Paddock",
    " model",
    ", demo model",
    " my friend",
    " again",
    " everyone",
    " you",
]
MARKS = ["", "!", ".", "!!", "..."]


def _crossed(heads: list[str], tails: list[str]) -> Phrasings:
    """All combinations of a head and a tail; every sixth is kept for the evaluation."""
    combined = [head + tail for i, head in enumerate(heads) for tail in tails]
    return Phrasings(
        [text for i, text in enumerate(combined) if i % 6], [text for i, text in enumerate(combined) if not i % 6]
    )


TOPICS: list[tuple[Phrasings, str, list[str]]] = [
    # wordings, answer, marks that may follow
    (_crossed(["hello", "hi", "hey", "good morning", "good evening", "good day", "good afternoon", "greetings", "howdy",
               "welcome", "hello hello", "hi hi"], ADDRESSES[2:]), HELLO, MARKS),
    (_crossed(["who are you", "what are you", "what is your name", "what's your name", "who is this", "which model are you",
               "what model are you", "tell me who you are", "who am I talking to", "introduce yourself", "are you a model",
               "tell me about yourself", "what is this", "are you a human", "do you have a name", "say who you are",
               "what should I call you", "what kind of model are you"],
              ["", " please", " really", " exactly", " today"]), WHO, ["?", "?", "", "."]),
    (_crossed(["what can you do", "what can I ask you", "how can you help me", "what are you good at", "what do you know",
               "what are your skills", "tell me what you can do", "what can you help me with", "what are you able to do",
               "what do you do", "which things can you do", "list your skills", "show me what you can do"],
              ["", " please", " for me", " exactly", " today"]), WHAT, ["?", "?", "", "."]),
    (_crossed(["how are you", "how are you doing", "how do you do", "how is it going", "are you well", "are you OK",
               "how do you feel", "how have you been"], ["", " today", " friend", " now", " Paddock"]), FINE, ["?", "?", ""]),
    (_crossed(["thanks", "thank you", "thank you very much", "thanks a lot", "many thanks", "thank you so much",
               "great, thanks", "nice, thank you", "that was helpful, thanks", "good answer, thank you", "thx", "cheers"],
              ["", " friend", " Paddock", " model", " again", " for that", " for your help"]), WELCOME, MARKS),
    (_crossed(["bye", "goodbye", "good bye", "bye bye", "see you", "see you later", "good night", "farewell",
               "I have to go, bye", "that is all, bye", "until next time", "see you soon", "ok bye"],
              ["", " friend", " Paddock", " model", " then", " now"]), GOODBYE, MARKS),
]  # fmt: skip

BEYOND = Phrasings(
    [
        "who won the football match?", "what is the meaning of life?", "write me a computer program.",
        "who is the president?", "what happened in the news?", "how do airplanes work?", "why do people dream?",
        "how old is the universe?", "who wrote this book?", "what should I cook for dinner?", "translate this letter.",
        "what is quantum physics?", "how do I fix my car?", "explain the stock market.", "who invented the telephone?",
        "when was the bridge built?", "how far is the moon?", "how do I learn the piano?", "why is war bad?",
        "what time is it?", "who painted this picture?", "solve this equation.", "what is the best film?",
    ],
    ["who invented the piano?", "how do I fix my telephone?", "why do airplanes dream?"],
)  # fmt: skip


def exchange(rng: Random, split: Split) -> list[Message]:
    """Small talk."""
    wordings, answer, marks = rng.choice(TOPICS)
    text = wordings.pick(rng, split) + rng.choice(marks)
    return [user(text if rng.random() < 0.2 else sentence(text)), assistant(answer)]


def unknown_exchange(rng: Random, split: Split) -> list[Message]:
    """A question beyond what it knows, and the honest answer."""
    return [user(sentence(BEYOND.pick(rng, split))), assistant(UNKNOWN)]
