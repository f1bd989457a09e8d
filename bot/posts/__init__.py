"""Posts in Discord: the live post, the result, their controls and forms, and their delivery."""
