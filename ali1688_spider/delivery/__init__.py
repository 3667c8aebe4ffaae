"""How changes reach other programs."""
