"""GenFoundry: from a data set to its best generative model."""
