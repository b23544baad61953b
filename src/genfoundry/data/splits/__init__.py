"""Splits as tensors on a device, one file a modality: the batches that training and evaluation use."""
