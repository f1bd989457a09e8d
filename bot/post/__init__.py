"""What stands in Discord: the live post, the result, and what is under them and pressed."""
