"""Loaders of YAML that refuse what its standard lets pass and nobody means."""

from __future__ import annotations

from typing import Any

import yaml


class UniqueKeys(yaml.SafeLoader):
    """YAML's plain values; a key that stands twice in a mapping is an error, not the last one's."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping as the base class does, before `<<` adds what it may override.

        Raises:
            yaml.composer.ComposerError: a key stands there twice.
        """
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            name = key.tag, key.value
            if isinstance(key, yaml.ScalarNode) and name in seen:
                raise yaml.composer.ComposerError(
                    None, None, f"{key.value!r} stands twice, keep one", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(name)
        return node


class NoAliases(UniqueKeys):
    """The same without aliases: nested ones make a kilobyte stand for a terabyte."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node as the base class does, and refuse an alias."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(
                None, None, "aliases (*name) are not read: write the value out"
            )
        return super().compose_node(parent, index)
