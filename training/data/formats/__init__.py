"""Labels in the formats of other programs: read, and written one shard at a time; nothing is dropped unseen."""
