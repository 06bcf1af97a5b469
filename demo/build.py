"""Make the demo model from nothing: tokenizer, training, GGUF file, picture of the loss."""

import argparse
from pathlib import Path

import torch

from demo.export import export
from demo.plot_loss import plot
from demo.train import train

FOLDER = Path("demo/build")
MODEL = Path("server/models/paddock-demo.gguf")
PICTURE = Path("docs/demo-model-loss.png")


def build(resume: bool) -> None:
    """Run all stages; the evaluation is a command of its own, because it needs llama.cpp."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    train(FOLDER, resume)
    MODEL.parent.mkdir(parents=True, exist_ok=True)
    export(FOLDER / "checkpoint.pt", FOLDER / "tokenizer.json", MODEL)
    plot(FOLDER / "loss.csv", PICTURE)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    build(arguments.resume)
