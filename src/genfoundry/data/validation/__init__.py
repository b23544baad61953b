"""Validation of a prepared data set with Great Expectations, and the page that shows the verdict."""
