"""Fast implementations, and the dispatch that chooses them."""
