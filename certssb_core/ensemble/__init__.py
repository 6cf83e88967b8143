"""Members: networks, smoothed training, voting, shards."""
