"""Searches for networks by predicted latency and short trainings: `numbers` of them, and how they are `shown`."""
