"""Published weights: by name to a commit, into the store by digest, and into our models.

- `names`: what a user may write, and which kind of place it is;
- `hub`: a Hugging Face Hub: names to commits, files by digest;
- `pins`: what a name meant when it was resolved, and where its files are kept;
- `keeping`: into a store, once, and out of it again;
- `checks`: what can be said of weights before they are fetched;
- `files`: tensors out of a file, without running anything the file says;
- `clip`, `clip_names`: open_clip's, OpenAI's, PAC-S's and transformers' CLIPs into ours;
- `encoders`: dual encoders and towers of other libraries;
- `packages`, `efficientnet`, `onnx`: small towers that Python packages carry, for closed networks;
- `prepare`: an evaluator's folder of these, each with the pixels that it was trained on;
- `huggingface`, `huggingface_vision`: the DiCO authors' checkpoints into our captioner, and back.
"""
