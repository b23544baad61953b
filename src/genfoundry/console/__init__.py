"""What a person at a terminal meets: the command `genfoundry`, messages, progress, git and DVC run as they would be.

It imports `errors` alone. No result depends on it, so it is no part of a stage's code digest.
"""
