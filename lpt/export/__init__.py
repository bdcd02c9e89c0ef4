"""A policy outside this toolkit: its networks as files for other runtimes, and its way to a hub.

Lives here: what is written for others. Not here: what LPTPolicy itself loads (`lpt.checkpoint`).
"""

from lpt.export.files import export_policy

__all__ = ["export_policy"]
