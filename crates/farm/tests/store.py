"""Twelve tiny shots in an object store, run by two nodes that share no folder; one is killed while it uploads.

    pip install 'moto[server]'
    python crates/farm/tests/store.py target/release/anicrafter   # built with --features cloud

An S3 server on loopback counts what is written. One input is large enough to be uploaded in parts. Checked: the videos have the bytes of `farm run` on a folder; what the killed node left
doesn't look whole; a second run of every task, and a second export, upload nothing twice.
"""

import collections
import logging
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

HERE = pathlib.Path(__file__).resolve().parents[3]
BUCKET = "shots"
TASKS = ["composite", "text", "condition", "denoise", "decode", "finish"]
SHOTS = [f"shot-{n:02}" for n in range(1, 13)]


class Server:
    """S3 on loopback: counts what is written by the folder that it is written to, and can be slow at that."""

    def __init__(self):
        app = DomainDispatcherApplication(create_backend_app)
        self.written, self.slow, self.seen, self.parts = collections.Counter(), 0.0, None, 0

        def watched(environ, start):
            if environ["REQUEST_METHOD"] == "PUT":
                key = environ["PATH_INFO"].split("/")[3:]  # after the bucket and the farm
                if key:
                    self.written[key[0]] += 1
                    self.parts += "partNumber=" in environ["QUERY_STRING"]
                    if key[0] == "shared":
                        self.seen = environ["PATH_INFO"]
                        time.sleep(self.slow)
            return app(environ, start)

        self.server = make_server("127.0.0.1", 0, watched, threaded=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"


def main():
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    program = os.path.abspath(sys.argv[1])
    server = Server()
    environment = os.environ | {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT": server.address,
        "AWS_ALLOW_HTTP": "true",
    }
    import boto3

    s3 = boto3.client(
        "s3", endpoint_url=server.address, aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1"
    )
    s3.create_bucket(Bucket=BUCKET)
    work = pathlib.Path(tempfile.mkdtemp(prefix="anicrafter-store-"))
    demo = HERE / "assets/demo"
    # A box of the file that players skip: 20 MiB, so three parts.
    padding = (20 << 20).to_bytes(4, "big") + b"free" + os.urandom((20 << 20) - 8)
    (work / "background.mp4").write_bytes((demo / "background.mp4").read_bytes() + padding)
    (work / "base.toml").write_text(
        f"""[input]
actors = [{{ avatar = "{demo}/avatar.safetensors", motion = "{demo}/motion.json" }}]
background = "{work}/background.mp4"
character = "{demo}/character.png"
end = 7
[video]
width = 80
height = 48
window = 5
overlap = 1
[sampling]
steps = 3
"""
    )
    rows = [f"{name},{n},{'a dancer in the rain' if n % 2 else ''}" for n, name in enumerate(SHOTS, 1)]
    (work / "shots.csv").write_text("\n".join(["name,seed,prompt", *rows]) + "\n")
    farm = f"s3://{BUCKET}/farm"

    def run(*args, **options):
        return subprocess.run([program, *map(str, args)], env=environment, check=True, **options)

    def export():
        run("farm", "export", "--for", "local", "-o", farm, "--cache", work / "maker", "--base", work / "base.toml", work / "shots.csv")

    def keys(prefix):
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"farm/{prefix}")
        return [item["Key"] for page in pages for item in page.get("Contents", [])]

    def task(node, shot, group):
        command = [program, "--threads", "1", "--progress", "none", "farm", "task", farm, "--cache", work / node, "--shot", shot, "--task", group]
        return subprocess.Popen([str(part) for part in command], env=environment)

    export()
    print("exported:", dict(server.written), "- parts:", server.parts)
    assert server.parts >= 3, "nothing was uploaded in parts"

    # One node is killed while it uploads the first result.
    server.slow, server.seen = 1.0, None
    victim = task("node-1", SHOTS[0], "composite")
    while not server.seen:
        assert victim.poll() is None, "the node ended before it uploaded anything"
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    time.sleep(1.5)
    server.slow = 0.0
    left = keys("shared/")
    print("killed while it wrote", server.seen, "- left:", left)
    assert left and not any(key.endswith("whole.json") for key in left), "what it left looks whole"

    def node(name, shots):
        for shot in shots:
            for group in TASKS:
                while (code := task(name, shot, group).wait()) == 75:
                    time.sleep(1)
                assert code == 0, f"{name}: {shot} {group} ended with {code}"

    # The dead node's lease is over after a while: the other one begins elsewhere. Both do the last shots.
    began = time.time()
    nodes = [
        threading.Thread(target=node, args=("node-2", SHOTS[1:8])),
        threading.Thread(target=node, args=("node-3", [*SHOTS[6:], SHOTS[0]])),
    ]
    [thread.start() for thread in nodes]
    [thread.join() for thread in nodes]
    print(f"12 shots on two nodes: {time.time() - began:.1f} s, written: {dict(server.written)}")
    run("farm", "status", farm, "--cache", work / "looker")
    assert run("farm", "todo", farm, "--cache", work / "looker", capture_output=True).stdout.strip() == b""

    # Again, on a node that has nothing, and from the start.
    before = server.written.copy()
    node("node-4", SHOTS)
    export()
    after = server.written - before
    print("a second start wrote:", dict(after))
    assert not {"shared", "inputs", "videos"} & set(after), "something was uploaded twice"

    run("farm", "collect", farm, "--cache", work / "looker", "-o", work / "videos", stdout=subprocess.DEVNULL)
    run("farm", "export", "--for", "local", "-o", work / "folder", "--base", work / "base.toml", work / "shots.csv", stdout=subprocess.DEVNULL)
    run("--progress", "none", "farm", "run", work / "folder")
    for shot in SHOTS:
        one, other = ((folder / f"{shot}.mp4").read_bytes() for folder in (work / "videos", work / "folder/videos"))
        assert one == other, f"{shot}: other bytes than farm run's"
    print("12 videos have the bytes of farm run")


if __name__ == "__main__":
    main()
