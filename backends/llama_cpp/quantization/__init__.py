"""Making smaller GGUFs of GGUFs: which types there are, what becomes of each tensor, and the work itself."""
