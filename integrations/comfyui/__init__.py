"""A ComfyUI node that makes videos with an AniCrafter studio, over its HTTP API."""

from .anicrafter import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
