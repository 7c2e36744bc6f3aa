"""Weights of others, by their true formats, and ours in theirs.

- `files`: tensors out of a file, without running anything the file says;
- `clip`: open_clip names, OpenAI's archives, PAC-S and PAC-S++ into our CLIP;
- `prepare`: an evaluator's folder of these, each with the pixels that it was trained on;
- `huggingface`: the DiCO authors' checkpoints into our captioner, and back, with the tower that
  `huggingface_vision` puts into transformers' names.
"""
