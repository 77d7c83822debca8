"""Micro-models over HTTP: Serve deployments, FastAPI routes, schemas, settings, and the table from error to status."""
