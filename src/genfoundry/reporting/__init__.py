"""The leaderboard and the static site: what people look at."""
