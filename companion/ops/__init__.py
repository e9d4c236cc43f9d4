"""Array functions without state."""
