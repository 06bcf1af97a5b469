"""Text that must match a grammar: which tokens may come next, and which must. By llguidance."""

from .compile_queue import CompileQueue
from .constraint import BrokenConstraint, Constraint, MaskRows
from .grammars import Grammars
from .masks import PATIENCE, Masks

__all__ = ["PATIENCE", "BrokenConstraint", "CompileQueue", "Constraint", "Grammars", "MaskRows", "Masks"]
