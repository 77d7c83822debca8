"""Which shard's domain a picture is in, told by its looks alone."""
