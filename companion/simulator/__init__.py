"""Writes datasets on disk, in the format of the real ones, with what is true of each clip beside them."""
