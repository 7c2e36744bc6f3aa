"""Which device a step of one process computes on; ranks of a training have theirs from `World`."""

import torch


def computing_device() -> torch.device:
    """The GPU where there is one, else the CPU.

    Convolutions of the GPU keep float32: the default, TF32, would let the features of an image
    differ from those of a CPU in the fourth digit, and both may lie in one store.
    """
    if not torch.cuda.is_available():
        return torch.device("cpu")
    torch.backends.cudnn.allow_tf32 = False
    return torch.device("cuda")
