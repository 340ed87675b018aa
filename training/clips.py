"""Clips of the synthetic generator (`synth clips`), read while they are still being made."""

import json
import threading
import time
from pathlib import Path

import torch

FIELDS = ("reference", "blend", "mesh", "target")


class Clips:
    """Clips in the device's memory as bytes; a thread adds new files as they appear."""

    def __init__(self, folder, device, capacity, fields=FIELDS):
        self.folder, self.device, self.fields = Path(folder), device, fields
        while not (self.folder / "layout.json").is_file():
            time.sleep(0.2)
        layout = json.loads((self.folder / "layout.json").read_text())
        self.layout = {f["name"]: (f["offset"], f["shape"]) for f in layout["fields"]}
        self.data = {f: torch.empty((capacity, *self.layout[f][1]), dtype=torch.uint8, device=device) for f in fields}
        self.capacity, self.count, self.names, self.stop = capacity, 0, [], False
        self.person = []  # (y, x) of the body's middle in each clip

    def read(self, path):
        raw = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
        offset, (f, h, w, c) = self.layout["mesh"]
        middle = raw[offset + f // 2 * h * w * c :][: h * w * c].view(h, w, c)[::4, ::4].amax(-1) > 1
        body = middle.nonzero()
        self.person.append((4 * body.float().mean(0)).int().tolist() if len(body) else [h // 2, w // 2])
        for name in self.fields:
            offset, shape = self.layout[name]
            n = 1
            for s in shape:
                n *= s
            self.data[name][self.count] = raw[offset : offset + n].view(*shape).to(self.device)
        if self.device.type == "cuda":
            torch.cuda.current_stream().synchronize()
        self.count += 1  # only now may others look at it

    def fill(self):
        """Reads all files that are there and not read yet."""
        known = set(self.names)
        for path in sorted(self.folder.glob("clip_*.bin")):
            if path.name in known or self.count == self.capacity or self.stop:
                continue
            self.read(path)
            self.names.append(path.name)

    def follow(self, remove=False):
        """Keeps reading in the background."""

        def work():
            stream = torch.cuda.Stream() if self.device.type == "cuda" else None
            while not self.stop and self.count < self.capacity:
                before = self.count
                if stream is not None:
                    with torch.cuda.stream(stream):
                        self.fill()
                else:
                    self.fill()
                if remove:
                    for name in self.names[before:]:
                        (self.folder / name).unlink(missing_ok=True)
                time.sleep(0.5 if self.count == before else 0.0)

        threading.Thread(target=work, daemon=True).start()

    def wait(self, count):
        while self.count < min(count, self.capacity):
            time.sleep(0.2)


def pixels(data, dtype):
    """Bytes to -1..1."""
    return data.to(dtype) / 127.5 - 1.0


def shifted(clips, name, index):
    """The model's view of a clip: the reference picture, then the frames; `[B, 1 + F, H, W, 3]` bytes."""
    return torch.cat([clips.data["reference"][index].unsqueeze(1), clips.data[name][index]], 1)
