"""The commands of `paddock`, a module each: its `COMMAND`, and what it does.

The modules import nothing heavy at the top: `paddock --help` and shell completion load them all.
"""
