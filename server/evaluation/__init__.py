"""Measuring answers against references: rows of a data file, answers of a server or a file, metrics, the report."""
