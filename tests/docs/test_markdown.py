"""What docstrings say, as Markdown."""

from __future__ import annotations

from docs.generator.markdown import attributes, definitions, of_docstring

LIST = """
Some words, and then
``code`` that begins a line of prose.

``one`` HASH
    What it holds,
    on two lines.
``two`` SET
``three`` LIST
    :class:`Thing` by the thousand.

More prose.
"""


class Thing:
    """It has two.

    Attributes:
        first: The first one, of which
            there is more to say.
        second: ``code``.
    """


def test_definitions() -> None:
    assert list(definitions(LIST)) == [
        ("`one` HASH", "What it holds, on two lines."),
        ("`two` SET", ""),
        ("`three` LIST", "`Thing` by the thousand."),
    ]


def test_attributes() -> None:
    said = {"first": "The first one, of which there is more to say.", "second": "`code`."}
    assert attributes(Thing) == said


def test_roles_become_the_last_part_of_their_names() -> None:
    assert of_docstring("see :meth:`~.pkg.Thing.run` and ``x``") == "see `run` and `x`"
