"""What makes a trained network cheaper, and what it costs: `numbers` of it, and how they are `shown`."""
