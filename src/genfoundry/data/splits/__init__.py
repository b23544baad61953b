"""One file a modality: a split as tensors on a device, with the batches that training and evaluation use."""
