"""Micro-models as a machine learning backend of Label Studio: its protocol, and nothing of its code."""
