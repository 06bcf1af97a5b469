"""The API process: OpenAI's wire format over HTTP, in front of a backend."""
