"""Base classes of model families: what several models share. A model imports these, never another model."""
