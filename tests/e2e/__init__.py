"""The real server process on the demo model, used as clients use it."""
