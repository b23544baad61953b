"""Reporting: the leaderboard and the static site, rendered from what the other stages wrote."""
