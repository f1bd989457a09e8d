"""Images as files: written with their parameters inside, read without trusting them."""
