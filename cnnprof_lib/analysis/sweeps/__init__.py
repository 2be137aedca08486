"""Sweeps, many networks under many conditions: `numbers` of them, and how they are `shown`."""
