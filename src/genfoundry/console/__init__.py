"""The terminal: the command `genfoundry`, log messages, progress bars, and git and DVC as subprocesses.

It imports `errors` alone. No result depends on it, so it is no part of a stage's code digest.
"""
