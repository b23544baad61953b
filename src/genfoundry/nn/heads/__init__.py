"""Output heads: distributions over the values of a sample, given the features of a network."""
