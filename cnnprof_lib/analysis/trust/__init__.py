"""Whether the numbers can be trusted: `numbers` on the profiles themselves, and how they are `shown`."""
