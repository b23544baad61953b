"""One file a modality: how raw files of it become the arrays of a prepared data set."""
