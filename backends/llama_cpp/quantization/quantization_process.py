"""The `main()` of the process that quantizes."""

from __future__ import annotations

from ..job import serve_job
from .order import QuantizeOrder
from .quantize import quantize_here


def main() -> None:
    """Run as `python -m backends.llama_cpp.quantization.quantization_process FD`."""
    serve_job(QuantizeOrder, quantize_here)


if __name__ == "__main__":
    main()
