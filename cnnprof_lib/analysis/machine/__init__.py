"""What the machine can do and how near the layers come to it: `numbers`, and how they are `shown`."""
