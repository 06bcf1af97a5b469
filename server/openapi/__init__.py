"""This server's own OpenAPI document, derived from its routes, request models and response structs.

Nothing here is imported before the document is asked for.
"""
