"""What everything stands on: errors, units, files, stamps, processes. Knows nothing of networks."""
