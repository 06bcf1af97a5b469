"""What the demo model is taught, one file per skill."""
