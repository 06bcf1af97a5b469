"""A job's process that ends in every way."""

from __future__ import annotations

import os
import sys
import time

import msgspec

from backends.base import BackendError
from backends.llama_cpp.job import Report, serve_job


class Order(msgspec.Struct, frozen=True, tag="order"):
    way: str


class Result(msgspec.Struct, frozen=True, tag="result"):
    text: str


def work(order: Order, report: Report) -> Result:
    report(1, 2)
    match order.way:
        case "assert":
            sys.stderr.write("noise\n/src/ggml.c:8078: GGML_ASSERT(imatrix != NULL) failed\nmore noise\n")
            sys.stderr.flush()
            os.abort()
        case "die":
            os.kill(os.getpid(), 9)
        case "exit":
            sys.stderr.write("cannot allocate memory\n")
            sys.stderr.flush()
            os._exit(7)
        case "fail":
            raise BackendError("it can't be done")
        case "memory":
            raise MemoryError
        case "hang":
            time.sleep(60)
    return Result("done")


if __name__ == "__main__":
    serve_job(Order, work)
