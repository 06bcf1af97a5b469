"""Small random-weight GGUFs of every kind of model, broken files, and the reference that runs are compared with.

    path = write_model(folder / "m.gguf", "jamba")              # families.py
    reference = greedy(path, prompt_tokens, 60)                 # reference.py
    assert_same_greedy(our_tokens, reference, kernel_noise(path))

With flash attention off and an F32 KV cache on both sides (`greedy(..., cache_type=GGML_TYPE_F32)`) the noise is
a thousandth of what the defaults have, and a run that parts at all is almost surely wrong.
"""
