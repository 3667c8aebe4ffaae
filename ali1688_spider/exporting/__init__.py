"""Products and changes as files: rows, their text, and a writer for each format."""
