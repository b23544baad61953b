"""Baselines that models are compared with: trivial models, compressors, classical methods; a file a modality."""
