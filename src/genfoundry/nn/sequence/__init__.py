"""Recurrent and dilated convolutional networks over sequences."""
