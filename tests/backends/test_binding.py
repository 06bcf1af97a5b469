"""What each process imports: in processes of their own, as this one has long imported everything."""

from __future__ import annotations

import subprocess
import sys


def printed(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.strip()


def test_the_api_process_does_without_llama_cpp_and_numpy() -> None:
    heavy = "{'llama_cpp.llama_cpp', 'numpy', 'huggingface_hub'}"
    assert printed(f"import sys, server.service; print({heavy} & set(sys.modules))") == "set()"


def test_the_tokenizer_process_does_without_the_high_level_api_and_asyncio() -> None:
    heavy = "{'llama_cpp.llama', 'numpy', 'asyncio'}"
    assert printed(f"import sys, backends.llama_cpp.tokenizer_process; print({heavy} & set(sys.modules))") == "set()"


def test_the_process_in_which_grammars_are_tried_does_without_llama_cpp() -> None:
    heavy = "{'llama_cpp.llama_cpp', 'numpy', 'asyncio'}"
    module = "backends.llama_cpp.grammar_trial_process"
    assert printed(f"import sys, {module}; print({heavy} & set(sys.modules))") == "set()"


def test_what_is_to_be_drafted_is_decided_without_llama_cpp() -> None:
    heavy = "{'llama_cpp.llama_cpp', 'backends.llama_cpp.sampling'}"
    assert printed(f"import sys, backends.llama_cpp.speculation; print({heavy} & set(sys.modules))") == "set()"


def test_the_high_level_api_is_there_for_whoever_asks() -> None:
    program = "import backends.llama_cpp.vocab, llama_cpp, llama_cpp.llama_cpp as C; print(llama_cpp.Llama.__name__, "
    assert printed(program + "llama_cpp.llama_n_ctx is C.llama_n_ctx, hasattr(llama_cpp, 'nonsense'))") == (
        "Llama True False"
    )
