"""Three answers to how much memory: `numbers`, and how they are `shown`."""
