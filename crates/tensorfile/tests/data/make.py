"""Writes the pickles that tests/pickle.rs reads, with CPython's own pickler and stand-ins for PyTorch's classes.

Run in this folder: python3 make.py
"""
import collections, io, pickle, struct, sys, types, zipfile

def module(name, **members):
    m = types.ModuleType(name)
    for key, value in members.items():
        if isinstance(value, (type, types.FunctionType)):
            value.__module__, value.__qualname__, value.__name__ = name, key, key
        setattr(m, key, value)
    sys.modules[name] = m

class Float: size, code = 4, "f"
class Long: size, code = 8, "q"
class BFloat16: size, code = 2, "H"
class Untyped: size, code = 1, "B"
class DtypeName:
    def __init__(self, name): self.name = name
    def __reduce__(self): return self.name
def rebuild_v2(*a): pass
def rebuild_v3(*a): pass
def rebuild_parameter(*a): pass
module("torch", FloatStorage=Float, LongStorage=Long, BFloat16Storage=BFloat16)
module("torch.storage", UntypedStorage=Untyped)
module("torch._utils", _rebuild_tensor_v2=rebuild_v2, _rebuild_tensor_v3=rebuild_v3, _rebuild_parameter=rebuild_parameter)
f8 = DtypeName("float8_e4m3fn"); f8.__module__ = "torch"
sys.modules["torch"].float8_e4m3fn = f8

class Storage:
    def __init__(self, kind, numbers, key): self.kind, self.numbers, self.key = kind, numbers, key
    def bytes(self): return struct.pack(f"<{len(self.numbers)}{self.kind.code}", *self.numbers)

class Tensor:
    def __init__(self, storage, shape, strides, offset=0, dtype=None):
        self.args = (storage, offset, tuple(shape), tuple(strides), False, collections.OrderedDict())
        self.dtype = dtype
    def __reduce_ex__(self, protocol):
        if self.dtype is not None: return rebuild_v3, self.args + (self.dtype,)
        return rebuild_v2, self.args

class Parameter:
    def __init__(self, tensor): self.tensor = tensor
    def __reduce_ex__(self, protocol): return rebuild_parameter, (self.tensor, True, collections.OrderedDict())

class Pickler(pickle.Pickler):
    """Storages become persistent ids, as torch.save makes them."""
    def __init__(self, out, protocol, legacy):
        super().__init__(out, protocol)
        self.legacy, self.storages = legacy, {}
    def persistent_id(self, x):
        if not isinstance(x, Storage): return None
        self.storages[x.key] = x
        pid = ("storage", x.kind, x.key, "cpu", len(x.numbers))
        return pid + (None,) if self.legacy else pid

def save_zip(path, x, protocol=2, prefix="archive/"):
    out = io.BytesIO(); p = Pickler(out, protocol, False); p.dump(x)
    with zipfile.ZipFile(path, "w") as z:
        z.writestr(prefix + "data.pkl", out.getvalue())
        z.writestr(prefix + "byteorder", "little")
        for key, s in p.storages.items(): z.writestr(f"{prefix}data/{key}", s.bytes())
        z.writestr(prefix + "version", "3\n")

def save_legacy(path, x):
    with open(path, "wb") as f:
        for head in (0x1950a86a20f9469cfc6c, 1001,
                     dict(protocol_version=1001, little_endian=True, type_sizes=dict(short=2, int=4, long=4))):
            pickle.dump(head, f, 2)
        p = Pickler(f, 2, True); p.dump(x)
        pickle.dump(sorted(p.storages), f, 2)
        for key in sorted(p.storages):
            s = p.storages[key]
            f.write(struct.pack("<q", len(s.numbers))); f.write(s.bytes())

floats = Storage(Float, [float(i) for i in range(12)], "0")
longs = Storage(Long, [8, -1], "1")
halves = Storage(BFloat16, [0x3f80, 0x4000, 0xbf80], "2")
bytes8 = Storage(Untyped, [0x38, 0x7e, 0xb8, 0x00], "3")
state = collections.OrderedDict([
    ("a.weight", Tensor(floats, (3, 4), (4, 1))),
    ("a.transposed", Tensor(floats, (4, 3), (1, 4))),
    ("a.row", Tensor(floats, (4,), (1,), 8)),
    ("a.repeated", Tensor(longs, (3, 2), (0, 1))),
    ("alpha", Tensor(longs, (), ())),
    ("b.bias", Parameter(Tensor(halves, (3,), (1,)))),
])
state._metadata = collections.OrderedDict(version=1)
fp8 = Tensor(bytes8, (2, 2), (2, 1), dtype=f8)
save_zip("state.pth", {"model_state": state, "step": 7, "fp8": fp8})
save_zip("state4.pth", {"model_state": state, "step": 7, "fp8": fp8}, protocol=4, prefix="other name/")
save_zip("list.pth", [Tensor(floats, (2, 2), (2, 1)), 0.25, 1, "text", None, (True, 2**40), b"\x00\xff", {"x", }])
save_legacy("legacy.pth", {"model_state": state, "step": 7})
