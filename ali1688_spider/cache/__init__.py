"""Responses that are reused for a while instead of calling again."""
