"""The spiders: what is collected. One per file; ``base.py`` has what they share."""
