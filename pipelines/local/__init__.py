"""The local runner: a pipeline's steps as processes or containers of this machine."""
