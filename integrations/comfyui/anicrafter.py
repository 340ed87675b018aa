"""One node: an avatar, and either a raw video or a background and a motion, become a video.

The studio does the work, in its own process; this sends it files and a job, shows how far it is and saves the result. It needs
Python's standard library alone.
"""

import json
import mimetypes
import os
import time
import urllib.error
import urllib.request
import uuid


class Studio:
    """A studio's API."""

    def __init__(self, address, token=""):
        self.address = address.rstrip("/")
        self.token = token

    def ask(self, method, path, body=None, headers=None):
        request = urllib.request.Request(self.address + path, data=body, method=method, headers=headers or {})
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            return urllib.request.urlopen(request)
        except urllib.error.HTTPError as error:
            try:
                message = json.load(error)["error"]["message"]
            except (ValueError, KeyError, TypeError):
                message = f"the studio answered {error.code}"
            raise RuntimeError(message) from None
        except urllib.error.URLError as error:
            raise RuntimeError(
                f"no studio answers at {self.address} ({error.reason}): start one with `anicrafter studio`"
            ) from None

    def json(self, method, path, value=None):
        if value is None:
            return json.load(self.ask(method, path))
        body = json.dumps(value).encode()
        return json.load(self.ask(method, path, body, {"Content-Type": "application/json"}))

    def upload(self, path):
        """Sends a file in pieces and returns its id in the studio's library."""
        upload = self.json("POST", "/v1/uploads", {"filename": os.path.basename(path), "bytes": os.path.getsize(path)})
        with open(path, "rb") as file:
            while True:
                piece = file.read(8 << 20)
                upload = json.load(
                    self.ask(
                        "PATCH",
                        f"/v1/uploads/{upload['id']}",
                        piece,
                        {"Upload-Offset": str(upload["offset"]), "Content-Type": "application/octet-stream"},
                    )
                )
                if upload["file"]:
                    break
        if not upload["file"]["usable"]:
            raise RuntimeError(f"{path}: {upload['file']['problem']}")
        return upload["file"]["id"]

    def reference(self, text):
        """The id of a file on this machine, or what names one in the studio's library."""
        text = text.strip()
        return self.upload(text) if text and os.path.isfile(text) else text


class AniCrafterVideo:
    """Animates an avatar in a scene, or in the place of somebody in a video."""

    CATEGORY = "AniCrafter"
    FUNCTION = "make"
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("video_path",)
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        text = ("STRING", {"default": ""})
        return {
            "required": {
                "studio": ("STRING", {"default": "http://127.0.0.1:8585"}),
                "avatar": text,
                "output": ("STRING", {"default": "anicrafter.mp4"}),
            },
            "optional": {
                "video": text,
                "background": text,
                "motion": text,
                "character": text,
                "model": (["anicrafter-demo", "anicrafter"],),
                "prompt": ("STRING", {"default": "", "multiline": True}),
                "size": text,
                "seconds": text,
                "settings": ("STRING", {"default": "{}", "multiline": True}),
                "token": text,
            },
        }

    @classmethod
    def IS_CHANGED(cls, **_):
        return str(uuid.uuid4())

    def make(self, studio, avatar, output, settings="{}", token="", **given):
        api = Studio(studio, token or os.environ.get("ANICRAFTER_TOKEN", ""))
        request = {"avatar": api.reference(avatar), "job": json.loads(settings or "{}")}
        for name, value in given.items():
            if value:
                request[name] = api.reference(value) if name in ("video", "background", "motion", "character") else value
        video = api.json("POST", "/v1/videos", request)
        try:
            video = wait(api, video)
        except BaseException:
            # Whoever interrupts the node doesn't want the rest of the job.
            api.json("POST", f"/v1/videos/{video['id']}/cancel")
            raise
        if video["status"] != "completed":
            raise RuntimeError(video["error"]["message"])
        path = place(output)
        with api.ask("GET", f"/v1/videos/{video['id']}/content") as content, open(path + ".part", "wb") as file:
            while piece := content.read(1 << 20):
                file.write(piece)
        os.replace(path + ".part", path)
        return {"ui": {"text": [path]}, "result": (path,)}


def wait(api, video):
    """Waits for a job's end; shows how far it is where ComfyUI is there to show it."""
    try:
        from comfy.utils import ProgressBar
    except ImportError:
        bar = None
    else:
        bar = ProgressBar(100)
    try:
        from comfy.model_management import throw_exception_if_processing_interrupted as check
    except ImportError:
        check = None
    while video["status"] in ("queued", "in_progress"):
        if check:
            check()
        if video["state"] == "paused":
            raise RuntimeError((video["error"] or {}).get("message", "the job was paused in the studio"))
        time.sleep(0.5)
        video = api.json("GET", f"/v1/videos/{video['id']}")
        if bar:
            bar.update_absolute(video["progress"], 100)
    return video


def place(output):
    """The result's path: in ComfyUI's output folder where there is one."""
    if not os.path.splitext(output)[1]:
        output += mimetypes.guess_extension("video/mp4") or ".mp4"
    try:
        from folder_paths import get_output_directory
    except ImportError:
        return os.path.abspath(output)
    return os.path.join(get_output_directory(), os.path.basename(output))


NODE_CLASS_MAPPINGS = {"AniCrafterVideo": AniCrafterVideo}
NODE_DISPLAY_NAME_MAPPINGS = {"AniCrafterVideo": "AniCrafter video"}
