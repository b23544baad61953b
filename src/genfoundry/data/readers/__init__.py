"""Readers of raw files: images, NIfTI, CSV, text. A damaged file is an error that names the file and the place."""
