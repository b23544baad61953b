"""Transforms of raw data while a data set is prepared: patches, missing values, seasonality, synthetic videos."""
