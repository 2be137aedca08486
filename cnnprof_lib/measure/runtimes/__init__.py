"""How a network is stepped and traced, and what its statistics tell."""
