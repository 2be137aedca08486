"""How the networks were trained: `numbers` of it, and how they are `shown`."""
