"""What params/ holds: layers, variants, recipes and presets, read and costed without TensorFlow."""
