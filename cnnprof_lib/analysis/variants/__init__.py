"""All runs side by side: `numbers` of them, and how they are `shown`."""
