"""Builds HTML as a tree, so that a text is always a text, whatever it contains."""

from __future__ import annotations

from typing import TypeAlias
from xml.etree.ElementTree import Element, tostring  # writes only

Content: TypeAlias = "str | Element | None"


def element(tag: str, *contents: Content, **attributes: str | None) -> Element:
    """Return an element.

    Args:
        tag: Its name.
        contents: Texts and elements, in order; None is nothing.
        attributes: By name, ``_`` standing for ``-`` and ``class_`` for ``class``; None is none.
    """
    node = Element(tag)
    for name, value in attributes.items():
        if value is not None:
            node.set(name.rstrip("_").replace("_", "-"), value)
    add(node, *contents)
    return node


def add(node: Element, *contents: Content) -> None:
    """Append texts and elements to *node*."""
    for content in contents:
        if isinstance(content, str):
            if len(node):
                node[-1].tail = (node[-1].tail or "") + content
            else:
                node.text = (node.text or "") + content
        elif content is not None:
            node.append(content)


def document(root: Element) -> str:
    """Return the whole page as text."""
    return "<!doctype html>\n" + tostring(root, encoding="unicode", method="html") + "\n"
