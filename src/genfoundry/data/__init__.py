"""Data sets: raw bytes, prepared arrays, splits and loaders. One modality a file."""
