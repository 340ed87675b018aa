"""The weights and inputs of `nn::RandomWeights`, by the same formula."""

import numpy as np
import torch

CHUNK = 1 << 22


def _mix(x):
    """SplitMix64's finaliser, on arrays of uint64."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def tensor(name, shape, dtype=torch.float32, seed=0):
    """The tensor `name`: values depend on the seed, the name and the place alone."""
    with np.errstate(over="ignore"):
        start = _mix(np.uint64(seed))
        for byte in name.encode():
            start = _mix(start ^ np.uint64(byte))
        if len(shape) < 2:
            centre, reach = (1.0, 0.1) if len(shape) == 1 and name.endswith("weight") else (0.0, 0.1)
        else:
            fan_in = np.float32(np.prod(shape[1:]))
            centre, reach = 0.0, np.sqrt(np.float32(3) / fan_in)
        centre, reach = np.float32(centre), np.float32(reach)
        size = int(np.prod(shape))
        out = torch.empty(size, dtype=dtype)
        for at in range(0, size, CHUNK):
            end = min(at + CHUNK, size)
            bits = _mix(start + np.arange(at, end, dtype=np.uint64)) >> np.uint64(40)
            values = centre + reach * (bits.astype(np.float32) / np.float32(1 << 23) - np.float32(1))
            out[at:end] = torch.from_numpy(values)
        return out.reshape(shape)


class Weights:
    """A place in the tree of weights."""

    def __init__(self, dtype, prefix=""):
        self.dtype, self.prefix = dtype, prefix

    def __truediv__(self, segment):
        return Weights(self.dtype, f"{self.prefix}.{segment}" if self.prefix else str(segment))

    def get(self, name, *shape):
        return tensor((self / name).prefix, shape, self.dtype)


def input_(name, *shape, unit=False):
    """An input in f32; `unit` scales it to variance 1."""
    x = tensor(name, shape, seed=1)
    return x * float(np.sqrt(x.numel() // shape[0])) if unit else x
