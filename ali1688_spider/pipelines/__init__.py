"""What happens to an item on its way from the spider to the store."""
