"""Methods that make a trained network cheaper."""
