"""Data sets: raw files are fetched, read, checked, assigned to splits and written as arrays; loaders batch them.

A modality (images, text, series, ...) is one file in `modalities` and one in `splits`. Imports `config` and the ground
files; `fetch` is machinery, since how bytes arrive is no part of a result.
"""
