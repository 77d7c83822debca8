"""Everything that is written and must survive: shards, annotations, models and predictions under one root URL."""
