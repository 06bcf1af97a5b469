"""The wire format: pydantic models of request bodies, structs of responses. Nothing here knows a backend."""
