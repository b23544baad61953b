"""Selection: the ranking of a task's models on `val`, promotion on `gate`, the ledger of champions, their weights.

Imports `evaluation` and below; nothing here trains.
"""
