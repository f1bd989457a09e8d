"""What stands in Discord: the live post, the result, what is under them, and its delivery."""
