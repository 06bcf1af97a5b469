"""The `main()` of the process that measures perplexity."""

from __future__ import annotations

from .job import serve_job
from .perplexity import PerplexityOrder, perplexity_here


def main() -> None:
    """Run as `python -m backends.llama_cpp.perplexity_process FD`."""
    serve_job(PerplexityOrder, perplexity_here)


if __name__ == "__main__":
    main()
