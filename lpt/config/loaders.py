"""Loaders of YAML that refuse what its standard lets pass and nobody means."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml


class UniqueKeys(yaml.SafeLoader):
    """YAML's plain values; a key that stands twice in a mapping is an error, not the last one's."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Construct a mapping as the base class does, and refuse a key that stands there twice.

        Raises:
            yaml.constructor.ConstructorError: it does. (What `<<` brings may be overridden.)
        """
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value!r} stands twice, keep one", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class NoAliases(UniqueKeys):
    """The same without aliases: nested ones make a kilobyte stand for a terabyte."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node as the base class does, and refuse an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(
                None, None, "aliases (*name) are not read: write the value out"
            )
        return super().compose_node(parent, index)
