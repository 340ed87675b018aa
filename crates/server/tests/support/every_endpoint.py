"""Every endpoint of the studio's document, called with nothing but Python's standard library.

STUDIO is the server, WEIGHTS a folder of LHM's. The document's list of operations is what has to be called: one that is
forgotten here is an error.
"""

import json, os, time, urllib.request, uuid

STUDIO = os.environ["STUDIO"]
called = set()


def send(method, path, body=None, headers={}, **ids):
    """Calls an operation of the document; `ids` fill the places in its path, `query` its end."""
    called.add((method, path))
    query = ids.pop("query", "")
    request = urllib.request.Request(STUDIO + path.format(**ids) + query, data=body, headers=headers, method=method)
    return urllib.request.urlopen(request, timeout=60)


def ask(method, path, body=None, **ids):
    headers, data = {}, None
    if body is not None:
        headers, data = {"Content-Type": "application/json"}, json.dumps(body).encode()
    return json.load(send(method, path, data, headers, **ids))


def picture(path, **ids):
    answer = send("GET", path, **ids)
    assert answer.headers["Content-Type"].startswith("image/"), path
    assert len(answer.read()) > 100, path


def wait(path, id, wanted):
    for _ in range(1500):
        found = ask("GET", path, id=id)
        if found["status"] in wanted:
            return found
        assert found["status"] != "failed", found
        time.sleep(0.02)
    raise SystemExit(f"{found} isn't {wanted}")


# The studio, its files.
assert ask("GET", "/v1/studio")["object"] == "studio"
ask("GET", "/v1/settings")
ask("POST", "/v1/session", {"token": ""})
files = {file["filename"]: file["id"] for file in ask("POST", "/v1/demo")["data"]}
assert len(ask("GET", "/v1/files")["data"]) >= len(files)
background, avatar = files["demo/background.mp4"], files["demo/avatar.safetensors"]
assert ask("GET", "/v1/files/{id}", id=avatar)["kind"] == "avatar"
bytes_of = send("GET", "/v1/files/{id}/content", id=background).read()
picture("/v1/files/{id}/thumbnail", id=background)
picture("/v1/files/{id}/strip", id=background, query="?count=3&height=32")
picture("/v1/files/{id}/turntable", id=avatar, query="?count=3&height=32")
picture("/v1/files/{id}/frames/{frame}", id=background, frame=2)
assert ask("GET", "/v1/files/{id}/people", id=files["demo/character.png"])["object"] == "people"
line = uuid.uuid4().hex
form = (
    f'--{line}\r\nContent-Disposition: form-data; name="file"; filename="copy.mp4"\r\n\r\n'.encode()
    + bytes_of + f"\r\n--{line}--\r\n".encode()
)
kind = {"Content-Type": f"multipart/form-data; boundary={line}"}
copy = json.load(send("POST", "/v1/files", form, kind))
ask("DELETE", "/v1/files/{id}", id=copy["id"])

# An upload in two pieces, and one that is given up.
upload = ask("POST", "/v1/uploads", {"filename": "pieces.mp4", "bytes": len(bytes_of)})["id"]
for start in (0, 5000):
    piece = bytes_of[:5000] if start == 0 else bytes_of[5000:]
    headers = {"Upload-Offset": str(start), "Content-Type": "application/octet-stream"}
    assert start == 0 or ask("GET", "/v1/uploads/{id}", id=upload)["offset"] == start
    taken = json.load(send("PATCH", "/v1/uploads/{id}", piece, headers, id=upload))
assert taken["file"]["filename"] == "pieces.mp4", taken
ask("DELETE", "/v1/uploads/{id}", id=ask("POST", "/v1/uploads", {"filename": "no.mp4", "bytes": 9})["id"])

# An avatar by LHM.
wanted = {"picture": "demo/character.png", "name": "me", "method": "lhm", "weights": os.environ["WEIGHTS"]}
assert "non-commercial" in ask("POST", "/v1/avatars/plan", wanted)["licence"]
making = ask("POST", "/v1/avatars", wanted)["id"]
assert wait("/v1/avatars/{id}", making, ["completed"])["file"]["kind"] == "avatar"
assert len(ask("GET", "/v1/avatars")["data"]) == 1
ask("DELETE", "/v1/avatars/{id}", id=making)

# A video: plan, preview, job, result.
request = {
    "model": "anicrafter-demo", "prompt": "1", "avatar": "demo/avatar.safetensors", "motion": "demo/motion.json",
    "background": "demo/background.mp4", "character": "demo/character.png", "seconds": "1",
}
assert ask("POST", "/v1/plan", request)["ok"] is True
preview = ask("POST", "/v1/previews", request)["id"]
wait("/v1/previews/{id}", preview, ["ready"])
picture("/v1/previews/{id}/frames/{frame}", id=preview, frame=3)
picture("/v1/previews/{id}/frames/{frame}/source", id=preview, frame=3)
picture("/v1/previews/{id}/frames/{frame}/masks", id=preview, frame=3)
video = ask("POST", "/v1/videos", request)["id"]
told = [line for line in send("GET", "/v1/videos/{id}/events", id=video) if line.startswith(b"data: ")]
assert json.loads(told[-1][6:])["status"] == "completed", told[-1]
assert ask("GET", "/v1/videos/{id}", id=video)["progress"] == 100
assert send("GET", "/v1/videos/{id}/content", id=video).read()[4:8] == b"ftyp"
assert ask("GET", "/v1/videos/{id}/job", id=video)["input"]["end"] == 16
assert send("GET", "/v1/videos/{id}/preview", id=video, query="?placeholder=true").status == 200
for line in send("GET", "/v1/events"):
    if line.startswith(b"event: ready"):
        break

# The queue: one runs, the others wait.
running = ask("POST", "/v1/videos/{id}/remix", {"prompt": "hold"}, id=video)["id"]
wait("/v1/videos/{id}", running, ["in_progress"])
waiting = [ask("POST", "/v1/videos", request)["id"] for _ in range(2)]
ask("POST", "/v1/videos/{id}/first", id=waiting[1])
ask("POST", "/v1/videos/{id}/pause", id=waiting[0])
ask("POST", "/v1/videos/{id}/resume", id=waiting[0])
ask("POST", "/v1/videos/{id}/cancel", id=running)
for id in waiting:
    wait("/v1/videos/{id}", id, ["completed"])
assert len(ask("GET", "/v1/videos")["data"]) == 4
assert ask("DELETE", "/v1/videos/{id}", id=video)["deleted"] is True

document = json.load(urllib.request.urlopen(STUDIO + "/openapi.json"))
listed = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
assert called == listed, f"not called: {listed - called}; not in the document: {called - listed}"
print(f"{len(called)} operations")
