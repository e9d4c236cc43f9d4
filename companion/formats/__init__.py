"""Formats of datasets on disk, one file a format."""
