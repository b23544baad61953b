"""Trivial models and compressors that models are held against: one modality a file."""
