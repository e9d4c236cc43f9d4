"""Attention and answers against the truth, one file a kind of attention."""
