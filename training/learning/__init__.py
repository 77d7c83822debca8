"""How micro-models are fitted, applied and judged."""
