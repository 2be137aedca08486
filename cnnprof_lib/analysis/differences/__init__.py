"""Where the time went between two runs: `numbers` of it, and how it is `shown`."""
