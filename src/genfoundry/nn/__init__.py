"""Building blocks of networks, by what they serve. Imports torch and the ground files alone.

What two models share belongs here: a model file never imports another model.
"""
