"""The llama.cpp engine: the only package that knows llama.cpp. It speaks tokens, never OpenAI or HTTP."""

from . import binding

binding.import_bare()
