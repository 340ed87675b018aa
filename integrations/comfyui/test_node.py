"""Runs the node against a studio: STUDIO is its address, DEMO the folder of the demo's scene."""

import os

from anicrafter import NODE_CLASS_MAPPINGS

Node = NODE_CLASS_MAPPINGS["AniCrafterVideo"]
demo = os.environ["DEMO"]
inputs = Node.INPUT_TYPES()
assert set(inputs) == {"required", "optional"}, inputs

made = Node().make(
    studio=os.environ["STUDIO"],
    avatar=os.path.join(demo, "avatar.safetensors"),
    background=os.path.join(demo, "background.mp4"),
    motion=os.path.join(demo, "motion.json"),
    model="anicrafter-demo",
    seconds="1",
    prompt="1",
    settings='{"sampling": {"seed": 2}}',
    output="output.mp4",
)
assert os.path.getsize(made["result"][0]) > 1000, made

for wrong, said in [
    ({"avatar": "nobody.safetensors"}, "nobody"),
    ({"avatar": os.path.join(demo, "README.md")}, "README"),
    ({"avatar": os.path.join(demo, "avatar.safetensors"), "prompt": "fail", "background": os.path.join(demo, "background.mp4"), "motion": os.path.join(demo, "motion.json")}, "fail"),
]:
    try:
        Node().make(studio=os.environ["STUDIO"], output="wrong.mp4", **wrong)
    except RuntimeError as error:
        assert said in str(error), error
    else:
        raise AssertionError(f"{wrong} was taken")
assert not os.path.exists("wrong.mp4")
print("the node works")
