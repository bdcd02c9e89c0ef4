"""Checkpoints: folders of safetensors and JSON, and what a saved policy says of itself.

Lives here: the files between training and policy, their formats and their upgrades. Reading them
never runs code. Not here: what is in the weights.
"""

from lpt.checkpoint.files import latest_checkpoint, list_checkpoints, load_policy_files
from lpt.checkpoint.metadata import PolicyMetadata, ReturnQuantiles

__all__ = [
    "PolicyMetadata",
    "ReturnQuantiles",
    "latest_checkpoint",
    "list_checkpoints",
    "load_policy_files",
]
