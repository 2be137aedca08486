"""Images: found, decoded, cached, cropped and standardised."""
