"""How well the demo model does what it was taught."""
