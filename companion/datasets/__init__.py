"""Torch Datasets, one kind of sample a file, and the cache of what is parsed or cut once."""
