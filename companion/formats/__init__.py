"""Formats on disk, one a file: what a dataset's files hold, and how they are read."""
