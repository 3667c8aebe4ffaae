"""What all crawls over one Redis count together."""
