"""What a request says about its output's structure, turned into a grammar.

`content.py` is what the routes work with; behind it JSON schemas (`json_schema.py`), regular expressions (`regex.py`),
llama.cpp's grammars (`gbnf.py`) and Lark (`lark.py`). Everything here comes from clients: it is checked and bounded
before an engine compiles it, and errors name the field, down to a schema's keyword.
"""
