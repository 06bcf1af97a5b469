"""Inference backends. `base` is the contract; every engine lives in a package of its own beside it."""
