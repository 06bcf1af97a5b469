"""Measure the demo model on unseen phrasings, greedily: the share of right answers per skill."""

import argparse
import time
from pathlib import Path

from demo.evaluation.cases import SKILLS, cases
from demo.evaluation.clients import Client, InProcess, Server

SEED = 2024


def measure(client: Client, count: int, shown: int) -> dict[str, tuple[int, int]]:
    """Right answers and questions per skill; shows the first few wrong ones."""
    results: dict[str, tuple[int, int]] = {}
    for skill in SKILLS:
        right = wrong = 0
        for case in cases(skill, count, SEED):
            reply = client.answer(case.prompt)
            if case.accepts(reply):
                right += 1
                continue
            wrong += 1
            if wrong <= shown:
                print(f"    asked  {case.question!r}\n    wanted {case.wanted!r}\n    got    {reply}")
        results[skill] = (right, right + wrong)
        print(f"{skill}: {right} of {right + wrong}", flush=True)
    return results


def table(results: dict[str, tuple[int, int]]) -> str:
    """The results in Markdown."""
    rows = [f"| {skill} | {count} | {right} |" for skill, (right, count) in results.items()]
    return "\n".join(["| skill | asked | right |", "| --- | ---: | ---: |", *rows])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="server/models/paddock-demo.gguf", help="GGUF to load in this process")
    parser.add_argument("--base-url", help="ask a running server instead, as http://127.0.0.1:8000/v1")
    parser.add_argument("--api-key", default="none")
    parser.add_argument("--name", default="paddock-demo", help="the model's name at the server")
    parser.add_argument("--raw", action="store_true", help="render the template here and use /v1/completions")
    parser.add_argument("--count", type=int, default=100, help="questions per skill")
    parser.add_argument("--show", type=int, default=3, help="wrong answers to show per skill")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--check-unseen", action="store_true", help="only check that no question was trained on")
    parser.add_argument("--output", type=Path, help="write the table of results here")
    arguments = parser.parse_args()
    if arguments.check_unseen:
        from demo.evaluation.unseen import asked_in_training  # needs torch, which asking does not

        found = asked_in_training(arguments.count, SEED)
        print(f"{len(found)} questions of the evaluation occur in the training text")
        for case in found:
            print(f"    {case.question!r}")
        raise SystemExit(1 if found else 0)
    if arguments.base_url:
        client: Client = Server(arguments.base_url, arguments.name, arguments.api_key, arguments.raw)
    else:
        client = InProcess(arguments.model, arguments.threads)
    started = time.monotonic()
    results = measure(client, arguments.count, arguments.show)
    print(f"\n{table(results)}\n\n{time.monotonic() - started:.0f} s")
    if arguments.output:
        arguments.output.write_text(table(results) + "\n")
