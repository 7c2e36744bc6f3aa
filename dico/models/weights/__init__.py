"""Weights of others, by their true formats, and ours in theirs.

- `files`: tensors out of a file, without running anything the file says;
- `clip`: open_clip names, OpenAI's archives, PAC-S and PAC-S++ into an evaluator's folder;
- `huggingface`: the DiCO authors' checkpoints into our captioner, and back.
"""
