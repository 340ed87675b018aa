"""Runs ours and PyTorch's on the same random weights in turn; prints times, their ratio and the relative error.

    python compare.py PROGRAM [--cases A,B] [--dtypes f32,bf16] [--runs 3] [--threads 2] [--limit SECONDS]
                                    [--results FOLDER]

`PROGRAM` is the binary of the package `benches`. See the README beside this file.
"""

import argparse
import json
import multiprocessing
import os
import platform
import re
import resource
import subprocess
import sys
import tempfile
import time

CASES = "linear/1024,attention/4096,dit_block/1024,vae_encode,vae_decode,small_vae_encode,small_vae_decode,umt5_layer/512,clip"

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("program")
parser.add_argument("--cases", default=CASES, help=f"default: {CASES}; dit_block/4096 and vae_encode/17x480x832 take long")
parser.add_argument("--dtypes", default="f32,bf16")
parser.add_argument("--runs", type=int, default=3, help="runs of each side, in turn; the best one counts")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument(
    "--clock",
    default="wall",
    choices=("wall", "processor"),
    help="processor: time on a processor (Linux), which other load disturbs less; with one thread only",
)
parser.add_argument("--limit", type=float, default=900, help="seconds after which a case's PyTorch side is given up")
parser.add_argument("--results", help="a folder: the rows go to a JSON file there, named after the processor")
args = parser.parse_args()

# Both sides get their threads from here and from nothing else.
for name in [n for n in os.environ if n.startswith(("OPENBLAS_", "OMP_", "MKL_"))]:
    del os.environ[name]
os.environ["RAYON_NUM_THREADS"] = str(args.threads)

import torch  # noqa: E402, after the environment is set

import models  # noqa: E402

torch.set_num_threads(args.threads)
processor = args.clock == "processor"
if processor and args.threads != 1:
    sys.exit("--clock processor needs --threads 1: waiting threads would count")


class Ours:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        print(*words, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline().split()
        if not answer:
            sys.exit(f"{args.program} gave up at {words}")
        return answer[1:]

    def processor_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


@torch.inference_mode()
def compare(case, dtype_name, tell):
    """Runs in a process of its own, so that its peak memory is the case's. Tells the times as they are known."""
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[dtype_name]
    ours = Ours(args.program)
    ours.ask("load", case, dtype_name)
    theirs = models.load(case, dtype)
    for _ in range(args.runs):
        before = ours.processor_seconds() if processor else 0
        seconds = float(ours.ask("run")[0])
        tell.send(("ours", ours.processor_seconds() - before if processor else seconds))
        clock = time.process_time if processor else time.perf_counter
        start = clock()
        reference = theirs()
        tell.send(("theirs", clock() - start))
    with tempfile.NamedTemporaryFile() as file:
        shape = [int(n) for n in ours.ask("output", file.name)]
        got = torch.frombuffer(bytearray(open(file.name, "rb").read()), dtype=torch.float32).reshape(shape)
    # Before the results are compared; the interpreter and its libraries are a quarter of a GiB of it.
    peaks = int(ours.ask("peak")[0]) / 1024**2, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    ours.close()
    want = reference.float()
    if got.shape != want.shape:
        sys.exit(f"{case}: ours is {tuple(got.shape)}, PyTorch's {tuple(want.shape)}")
    tell.send(("end", ((got - want).norm() / want.norm()).item(), *peaks))


def row(case, dtype_name):
    """Runs a case and prints its row."""
    spawn = multiprocessing.get_context("spawn")
    listen, tell = spawn.Pipe(duplex=False)
    process = spawn.Process(target=compare, args=(case, dtype_name, tell))
    process.start()
    tell.close()
    times, end = {"ours": [], "theirs": []}, None
    try:
        while end is None:
            # Loading and our own run have as much time as PyTorch's run.
            if not listen.poll(args.limit):
                break
            name, *values = listen.recv()
            if name == "end":
                end = values
            else:
                times[name] += values
    except EOFError:
        sys.exit(f"{case} in {dtype_name} failed")
    if end is None:
        process.kill()  # ours ends with its standard input
    process.join()
    a = f"{min(times['ours']):.3f}" if times["ours"] else "-"
    if end is None and not times["theirs"]:
        ratio = f"> {args.limit / min(times['ours']):.0f}" if times["ours"] else "-"
        print(f"| {case} | {dtype_name} | {a} | > {args.limit:.0f} | {ratio} | - | - | - |", flush=True)
        return {"case": case, "type": dtype_name, "ours_s": times["ours"], "pytorch_s": None, "limit_s": args.limit}
    b = min(times["theirs"])
    error, ours_peak, theirs_peak = end or [float("nan")] * 3
    print(
        f"| {case} | {dtype_name} | {a} | {b:.3f} | {b / min(times['ours']):.2f} | {error:.1e} "
        f"| {ours_peak:.2f} | {theirs_peak:.2f} |",
        flush=True,
    )
    return {
        "case": case,
        "type": dtype_name,
        "ours_s": times["ours"],
        "pytorch_s": times["theirs"],
        "ratio": b / min(times["ours"]),
        "relative_error": error,
        "ours_peak_gib": ours_peak,
        "pytorch_peak_gib": theirs_peak,
    }


def processor_facts():
    """Name and the instruction sets that decide about speed, where the system tells them (Linux)."""
    try:
        text = open("/proc/cpuinfo").read()
    except OSError:
        text = ""
    fields = dict(re.findall(r"^(model name|flags|cpu family|model)\s*:\s*(.*)$", text, re.MULTILINE))
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8")
    return {
        "name": fields.get("model name", platform.processor() or platform.machine()),
        "family": fields.get("cpu family"),
        "model": fields.get("model"),
        "instruction_sets": [flag for flag in wanted if flag in fields.get("flags", "").split()],
    }


def write_results(folder, rows):
    """A later run of the same cases on such a processor takes an earlier one's place; other cases' rows stay."""
    facts = processor_facts()
    best = (facts["instruction_sets"] or ["portable"])[-1]
    name = re.sub(r"[^a-z0-9]+", "-", f"{facts['name']} {facts['family']} {facts['model']} {best}".lower()).strip("-")
    path = os.path.join(folder, name + ".json")
    settings = {"threads": args.threads, "clock": args.clock, "pytorch": torch.__version__, "day": time.strftime("%Y-%m-%d")}
    rows = [row | settings for row in rows]
    kept = json.load(open(path))["rows"] if os.path.exists(path) else []
    same = {(row["case"], row["type"], row["threads"], row["clock"]) for row in rows}
    kept = [row for row in kept if (row["case"], row["type"], row["threads"], row["clock"]) not in same]
    os.makedirs(folder, exist_ok=True)
    with open(path + ".part", "w") as file:
        json.dump({"processor": facts, "rows": kept + rows}, file, indent=1)
        file.write("\n")
    os.replace(path + ".part", path)
    print(f"\nwrote {path}")


if __name__ == "__main__":
    capability = torch.backends.cpu.get_cpu_capability()
    print(f"PyTorch {torch.__version__}, {args.threads} threads, {args.clock} clock, best of {args.runs}, {capability}\n")
    print("| case | type | ours s | PyTorch s | PyTorch / ours | relative error | our peak GiB | PyTorch's |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    rows = [row(case, dtype_name) for case in args.cases.split(",") for dtype_name in args.dtypes.split(",")]
    if args.results:
        write_results(args.results, rows)
