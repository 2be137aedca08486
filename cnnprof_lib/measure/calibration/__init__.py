"""A designed set of networks, measured so that others can be predicted."""
