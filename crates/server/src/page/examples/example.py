import json, os, urllib.request

STUDIO = os.environ.get("STUDIO", "http://127.0.0.1:8585")


def ask(method, path, body=None):
    request = urllib.request.Request(STUDIO + path, method=method)
    if "STUDIO_TOKEN" in os.environ:
        request.add_header("Authorization", "Bearer " + os.environ["STUDIO_TOKEN"])
    if body is not None:
        request.add_header("Content-Type", "application/json")
        request.data = json.dumps(body).encode()
    return urllib.request.urlopen(request)


ask("POST", "/v1/demo")
video = json.load(ask("POST", "/v1/videos", {
    "model": "anicrafter-demo",
    "avatar": "demo/avatar.safetensors",
    "motion": "demo/motion.json",
    "background": "demo/background.mp4",
    "character": "demo/character.png",
    "seconds": "1",
}))

# Server-sent events: each is the video as it stands, until its job has ended.
for line in ask("GET", f"/v1/videos/{video['id']}/events"):
    if line.startswith(b"data: "):
        video = json.loads(line[6:])
        print(video["status"], video["progress"], "%", video["details"]["stage"] or "")

if video["status"] != "completed":
    raise SystemExit(video["error"]["message"])
with open("demo.mp4", "wb") as out:
    out.write(ask("GET", f"/v1/videos/{video['id']}/content").read())
