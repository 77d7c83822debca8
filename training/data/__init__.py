"""Shards, frames, ontologies and annotations: what goes in and what comes out."""
