"""Convolutional encoders, decoders and classifiers of images, and the corruption that denoisers learn to undo."""
