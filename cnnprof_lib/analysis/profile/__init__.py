"""What the step of one run is made of, op by op and layer by layer: `numbers` of it, and how they are `shown`."""
