"""Networks in Keras and as graphs: built, given weights, frozen, scored."""
