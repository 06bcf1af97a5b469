"""Several models in one server: which there are, which of them are loaded, and who has to make room for whom."""
