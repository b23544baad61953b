"""The error that a user can mend: what went wrong, where, and what would be right."""

from __future__ import annotations


class UserError(Exception):
    """A mistake of the user's (data, params.yaml, checkpoint, request): one line: what, where, what is expected."""
