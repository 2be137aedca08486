"""What a faster network loses of its accuracy: `numbers` of it, and how they are `shown`."""
