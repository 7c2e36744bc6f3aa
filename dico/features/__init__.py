"""Stored features of frozen vision towers: their file format, writing, reading and extraction."""
