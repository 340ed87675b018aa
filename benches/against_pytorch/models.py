"""The cases of `benches/src/cases.rs` in PyTorch, each as a function without arguments.

Written from the papers and the shapes of the checkpoints. Where PyTorch has a fused operation, it is used.
"""

import torch
import torch.nn.functional as F

from weights import Weights, input_


class Linear:
    def __init__(self, weights, d_in, d_out, bias=True):
        self.weight = weights.get("weight", d_out, d_in)
        self.bias = weights.get("bias", d_out) if bias else None

    def __call__(self, x):
        return F.linear(x, self.weight, self.bias)


def rms_norm(x, weight, eps=1e-6):
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


def attend(q, k, v, heads, scale=None, bias=None):
    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    out = F.scaled_dot_product_attention(split(q), split(k), split(v), attn_mask=bias, scale=scale)
    return out.transpose(1, 2).flatten(2)


def linear(dtype, rows):
    layer = Linear(Weights(dtype) / "linear", 5120, 5120)
    x = input_("x", rows, 5120).to(dtype)
    return lambda: layer(x)


def attention(dtype, tokens):
    q, k, v = (input_(name, 1, tokens, 40 * 128, unit=True).to(dtype) for name in "qkv")
    return lambda: attend(q, k, v, 40)


# The transformer block


def rope_table(side_t, side_h, side_w, dim):
    side = dim // 3
    angles = []
    for n, d, shape in (
        (side_t, dim - 2 * (side // 2 * 2), (-1, 1, 1)),
        (side_h, side // 2 * 2, (1, -1, 1)),
        (side_w, side // 2 * 2, (1, 1, -1)),
    ):
        frequencies = 10000.0 ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
        axis = torch.arange(n, dtype=torch.float64)[:, None] * frequencies
        angles.append(axis.view(*shape, d // 2).expand(side_t, side_h, side_w, d // 2))
    angles = torch.cat(angles, -1).reshape(side_t * side_h * side_w, 1, dim // 2)
    return torch.polar(torch.ones_like(angles), angles).to(torch.complex64)


def rope(x, table, heads):
    pairs = x.float().unflatten(-1, (heads, -1, 2))
    return torch.view_as_real(torch.view_as_complex(pairs) * table).flatten(2).to(x.dtype)


def dit_block(dtype, tokens, d=5120, heads=40, ffn=13824):
    w = Weights(dtype) / "blocks" / 0
    attn, cross = w / "self_attn", w / "cross_attn"
    q, k, v, o = (Linear(attn / n, d, d) for n in "qkvo")
    norm_q, norm_k = ((attn / n).get("weight", d) for n in ("norm_q", "norm_k"))
    names = ("q", "k", "v", "o", "k_img", "v_img")
    cq, ck, cv, co, ck_img, cv_img = (Linear(cross / n, d, d) for n in names)
    cnorm_q, cnorm_k, cnorm_img = ((cross / n).get("weight", d) for n in ("norm_q", "norm_k", "norm_k_img"))
    norm3 = (w / "norm3").get("weight", d), (w / "norm3").get("bias", d)
    ffn_in, ffn_out = Linear(w / "ffn" / 0, d, ffn), Linear(w / "ffn" / 2, ffn, d)
    modulation = w.get("modulation", 1, 6, d)
    side = int((tokens / 4) ** 0.5)
    table = rope_table(4, side, side, d // heads)
    x0, t_mod = input_("x", 1, tokens, d).to(dtype), input_("t_mod", 1, 6, d).to(dtype)
    text, image = input_("text", 1, 512, d).to(dtype), input_("image", 1, 257, d).to(dtype)

    def run():
        shift1, scale1, gate1, shift2, scale2, gate2 = (modulation + t_mod).chunk(6, dim=1)
        x = x0
        h = F.layer_norm(x, (d,), eps=1e-6) * (1 + scale1) + shift1
        query = rope(rms_norm(q(h), norm_q), table, heads)
        key = rope(rms_norm(k(h), norm_k), table, heads)
        x = x + gate1 * o(attend(query, key, v(h), heads))
        h = F.layer_norm(x, (d,), *norm3, eps=1e-6)
        query = rms_norm(cq(h), cnorm_q)
        y = attend(query, rms_norm(ck(text), cnorm_k), cv(text), heads)
        y = y + attend(query, rms_norm(ck_img(image), cnorm_img), cv_img(image), heads)
        x = x + co(y)
        h = F.layer_norm(x, (d,), eps=1e-6) * (1 + scale2) + shift2
        return x + gate2 * ffn_out(F.gelu(ffn_in(h), approximate="tanh"))

    return run


# The autoencoder


class Conv:
    """A convolution that is causal in time and keeps the last two frames of what it saw."""

    def __init__(self, weights, c_in, c_out, kernel=(3, 3, 3), stride=1, name="weight"):
        self.weight = weights.get("weight", c_out, c_in, *kernel)
        self.bias = weights.get("bias", c_out)
        self.kernel, self.stride, self.past = kernel, stride, None

    def __call__(self, x):
        kt, kh, _ = self.kernel
        if kt == 1:
            return F.conv3d(x, self.weight, self.bias)
        seen = x if self.past is None else torch.cat([self.past, x], 2)
        missing = max(kt - 1 + x.shape[2] - seen.shape[2], 0)
        self.past = seen[:, :, -(kt - 1) :]
        p = kh // 2
        return F.conv3d(F.pad(seen, (p, p, p, p, missing, 0)), self.weight, self.bias)


def conv2d(weights, c_in, c_out, k):
    return weights.get("weight", c_out, c_in, k, k), weights.get("bias", c_out)


def per_frame(x, f):
    b, _, t = x.shape[:3]
    y = f(x.transpose(1, 2).flatten(0, 1))
    return y.unflatten(0, (b, t)).transpose(1, 2)


class Norm:
    def __init__(self, weights, c, dims):
        self.gamma, self.scale = weights.get("gamma", c, *[1] * dims), c**0.5

    def __call__(self, x):
        return F.normalize(x, dim=1) * self.scale * self.gamma


class Residual:
    def __init__(self, weights, c_in, c_out):
        w = weights / "residual"
        self.norms = Norm(w / 0, c_in, 3), Norm(w / 3, c_out, 3)
        self.convs = Conv(w / 2, c_in, c_out), Conv(w / 6, c_out, c_out)
        self.shortcut = Conv(weights / "shortcut", c_in, c_out, (1, 1, 1)) if c_in != c_out else None

    def __call__(self, x):
        y = self.convs[0](F.silu(self.norms[0](x)))
        y = self.convs[1](F.silu(self.norms[1](y)))
        return y + (x if self.shortcut is None else self.shortcut(x))


class PixelAttention:
    def __init__(self, weights, c):
        self.norm = Norm(weights / "norm", c, 2)
        self.qkv, self.proj = conv2d(weights / "to_qkv", c, 3 * c, 1), conv2d(weights / "proj", c, c, 1)

    def __call__(self, x):
        def one(y):
            h, w = y.shape[-2:]
            q, k, v = F.conv2d(self.norm(y), *self.qkv).flatten(2).transpose(1, 2)[:, None].chunk(3, dim=-1)
            z = F.scaled_dot_product_attention(q.contiguous(), k.contiguous(), v.contiguous())[:, 0]
            return F.conv2d(z.transpose(1, 2).unflatten(2, (h, w)), *self.proj)

        return x + per_frame(x, one)


class Downsample:
    def __init__(self, weights, c, temporal):
        self.conv, self.past = conv2d(weights / "resample" / 1, c, c, 3), None
        w = weights / "time_conv"
        self.time = (w.get("weight", c, c, 3, 1, 1), w.get("bias", c)) if temporal else None

    def __call__(self, x):
        x = per_frame(x, lambda y: F.conv2d(F.pad(y, (0, 1, 0, 1)), *self.conv, stride=2))
        if self.time is None:
            return x
        past, self.past = self.past, x[:, :, -1:]
        return x if past is None else F.conv3d(torch.cat([past, x], 2), *self.time, stride=(2, 1, 1))


class Upsample:
    def __init__(self, weights, c, temporal):
        self.conv, self.started = conv2d(weights / "resample" / 1, c, c // 2, 3), False
        self.time = Conv(weights / "time_conv", c, 2 * c, (3, 1, 1)) if temporal else None

    def __call__(self, x):
        if self.time is not None and self.started:
            x = self.time(x).unflatten(1, (2, -1)).permute(0, 2, 3, 1, 4, 5).flatten(2, 3)
        self.started = True
        return per_frame(x, lambda y: F.conv2d(F.interpolate(y, scale_factor=2.0, mode="nearest"), *self.conv, padding=1))


def middle(weights, c):
    w = weights / "middle"
    return [Residual(w / 0, c, c), PixelAttention(w / 1, c), Residual(w / 2, c, c)]


class Network:
    def __init__(self, weights, first, blocks, c, last):
        self.first, self.blocks = first, blocks
        self.norm, self.last = Norm(weights / "head.0", c, 3), Conv(weights / "head.2", c, last)

    def __call__(self, x):
        x = self.first(x)
        for block in self.blocks:
            x = block(x)
        return self.last(F.silu(self.norm(x)))

    def reset(self):
        def walk(node):
            if isinstance(node, (list, tuple)):
                for child in node:
                    walk(child)
            elif hasattr(node, "__dict__"):
                for name, child in vars(node).items():
                    if name == "past":
                        node.past = None
                    elif name == "started":
                        node.started = False
                    else:
                        walk(child)

        walk([self.first, self.blocks, self.last])


WAN = dict(dim=96, z=16, mults=(1, 2, 4, 4), blocks=2)
SMALL = dict(dim=24, z=48, mults=(1, 2, 3, 3), blocks=1)


def encoder(weights, dim, z, mults, blocks):
    c, stack, layers = dim, weights / "downsamples", []
    first = Conv(weights / "conv1", 3, c)
    for level, mult in enumerate(mults):
        for _ in range(blocks):
            layers.append(Residual(stack / len(layers), c, dim * mult))
            c = dim * mult
        if level < 3:
            layers.append(Downsample(stack / len(layers), c, level > 0))
    return Network(weights, first, layers + middle(weights, c), c, 2 * z)


def decoder(weights, dim, z, mults, blocks):
    c, stack, layers = mults[-1] * dim, weights / "upsamples", []
    first = Conv(weights / "conv1", z, c)
    before = middle(weights, c)
    for level, mult in reversed(list(enumerate(mults))):
        for _ in range(blocks + 1):
            layers.append(Residual(stack / len(layers), c, dim * mult))
            c = dim * mult
        if level > 0:
            layers.append(Upsample(stack / len(layers), c, level > 1))
            c //= 2
    return Network(weights, first, before + layers, c, 3)


def vae_encode(dtype, t=5, height=256, width=256, config=WAN):
    w, z = Weights(dtype), config["z"]
    network, conv1 = encoder(w / "encoder", **config), Conv(w / "conv1", 2 * z, 2 * z, (1, 1, 1))
    video = input_("video", 1, 3, t, height, width, unit=True).to(dtype)
    chunks = [video[:, :, :1], *video[:, :, 1:].split(4, 2)]

    def run():
        network.reset()
        return torch.cat([conv1(network(part))[:, :z] for part in chunks], 2)

    return run


def vae_decode(dtype, t=5, height=256, width=256, config=WAN):
    w, z = Weights(dtype), config["z"]
    network, conv2 = decoder(w / "decoder", **config), Conv(w / "conv2", z, z, (1, 1, 1))
    latents = input_("latents", 1, z, 1 + (t - 1) // 4, height // 8, width // 8, unit=True).to(dtype)

    def run():
        network.reset()
        return torch.cat([network(conv2(part)) for part in latents.split(1, 2)], 2).clamp(-1, 1)

    return run


def small_vae_encode(dtype, t=17, height=192, width=320):
    return vae_encode(dtype, t, height, width, SMALL)


def small_vae_decode(dtype, t=17, height=192, width=320):
    return vae_decode(dtype, t, height, width, SMALL)


# The encoders


def umt5_layer(dtype, tokens, d=4096, ffn=10240, heads=64, buckets=32):
    root = Weights(dtype)
    w = root / "blocks" / 0
    q, k, v, o = (Linear(w / "attn" / n, d, d, bias=False) for n in "qkvo")
    gate = Linear(w / "ffn" / "gate" / 0, d, ffn, bias=False)
    fc1, fc2 = Linear(w / "ffn" / "fc1", d, ffn, bias=False), Linear(w / "ffn" / "fc2", ffn, d, bias=False)
    norm1, norm2 = (w / "norm1").get("weight", d), (w / "norm2").get("weight", d)
    last = (root / "norm").get("weight", d)
    table = (w / "pos_embedding" / "embedding").get("weight", buckets, heads)
    embedding = (root / "token_embedding").get("weight", 1024, d)
    ids = torch.arange(tokens) * 37 % 1024
    distance = torch.arange(tokens)[None, :] - torch.arange(tokens)[:, None]
    half, exact = buckets // 2, buckets // 4
    far = exact + ((distance.abs().clamp(min=1) / exact).log() / torch.tensor(128 / exact).log() * (half - exact)).long()
    bucket = torch.where(distance.abs() < exact, distance.abs(), far.clamp(max=half - 1)) + (distance > 0) * half

    def run():
        x = F.embedding(ids, embedding)[None]
        bias = F.embedding(bucket, table).permute(2, 0, 1)[None]
        h = rms_norm(x, norm1)
        x = x + o(attend(q(h), k(h), v(h), heads, scale=1.0, bias=bias))
        h = rms_norm(x, norm2)
        x = x + fc2(fc1(h) * F.gelu(gate(h), approximate="tanh"))
        return rms_norm(x, last)

    return run


def clip(dtype, d=1280, heads=16, layers=32):
    w = Weights(dtype)
    patch = (w / "patch_embedding").get("weight", d, 3, 14, 14)
    cls, position = w.get("cls_embedding", 1, 1, d), w.get("pos_embedding", 1, 257, d)
    pre = (w / "pre_norm").get("weight", d), (w / "pre_norm").get("bias", d)
    blocks = []
    for i in range(layers - 1):
        b = w / "transformer" / i
        norms = [((b / n).get("weight", d), (b / n).get("bias", d)) for n in ("norm1", "norm2")]
        blocks.append((norms, Linear(b / "attn" / "to_qkv", d, 3 * d), Linear(b / "attn" / "proj", d, d),
                       Linear(b / "mlp" / 0, d, 4 * d), Linear(b / "mlp" / 2, 4 * d, d)))
    pixels = input_("pixels", 1, 3, 224, 224, unit=True).to(dtype)

    def run():
        x = F.conv2d(pixels, patch, stride=14).flatten(2).transpose(1, 2)
        x = F.layer_norm(torch.cat([cls, x], 1) + position, (d,), *pre)
        for (norm1, norm2), qkv, proj, fc1, fc2 in blocks:
            x = x + proj(attend(*qkv(F.layer_norm(x, (d,), *norm1)).chunk(3, -1), heads))
            x = x + fc2(F.gelu(fc1(F.layer_norm(x, (d,), *norm2))))
        return x

    return run


def load(name, dtype):
    """The case as a function."""
    kind, _, size = name.partition("/")
    return globals()[kind](dtype, *(int(n) for n in size.split("x") if n))
