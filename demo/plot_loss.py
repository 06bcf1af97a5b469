"""Draw the loss curve of a training."""

import argparse
import csv
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SMOOTHING = 0.96


def read_losses(path: Path) -> tuple[list[int], list[float]]:
    """Steps and losses of a log."""
    with open(path, newline="") as file:
        rows = [(int(step), float(loss)) for step, loss in csv.reader(file)]
    return [step for step, _ in rows], [loss for _, loss in rows]


def smoothed(values: list[float]) -> list[float]:
    """The exponential moving average, without a bias to its start."""
    average = weight = 0.0
    result = []
    for value in values:
        average = SMOOTHING * average + (1 - SMOOTHING) * value
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        result.append(average / weight)
    return result


def plot(log: Path, output: Path) -> None:
    """Write the picture."""
    steps, losses = read_losses(log)
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=110)
    axes.semilogy(steps, losses, color="#9db8d2", linewidth=0.6, label="each step")
    axes.semilogy(steps, smoothed(losses), color="#1f4e79", linewidth=1.6, label="smoothed")
    axes.set_xlabel("step (about 3,000 tokens)")
    axes.set_ylabel("cross entropy per learned token, nats")
    axes.set_title("Paddock demo model: training loss")
    axes.grid(True, which="both", alpha=0.25)
    axes.legend()
    figure.tight_layout()
    figure.savefig(output)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--log", type=Path, default=Path("demo/build/loss.csv"))
    parser.add_argument("--output", type=Path, default=Path("docs/demo-model-loss.png"))
    arguments = parser.parse_args()
    plot(arguments.log, arguments.output)
