"""What a model can do besides: a file an ability, picked up by `models.base`'s protocols, on `test` alone."""
