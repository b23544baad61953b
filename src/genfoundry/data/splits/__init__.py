"""One file a modality: its `Split`, prepared arrays on a device, which is all that training and evaluation use of it.

`Dataset.split` imports it by the modality's name. How raw files become arrays is in `data.<modality>`.
"""
