"""/settings: what one's next image has by itself."""
