"""The project's commands, one per file."""
