"""The errors of the project, one tree.

::

    Ali1688Error
    ├── ConfigurationError      a setting or an argument is missing or wrong
    ├── MalformedMessageError   a queue message is none of the accepted forms
    ├── UnexpectedAnswerError   an answer whose shape no parser knows
    └── GatewayError            the platform said no (its subclasses: gateway/errors/)
"""

from __future__ import annotations


class Ali1688Error(Exception):
    """Base of all errors of the project."""


class ConfigurationError(Ali1688Error):
    """A setting or an argument is missing or wrong; the text is one sentence with the way out."""


class MalformedMessageError(Ali1688Error):
    """A queue message is none of the accepted forms; the text says why."""


class UnexpectedAnswerError(Ali1688Error):
    """An answer has a shape that no parser knows; the text says what was missing."""


class GatewayError(Ali1688Error):
    """The platform, or the way to it, refused a call."""
