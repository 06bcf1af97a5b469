"""llama-server's own completion: its prompts, limits and answers, apart from HTTP."""
