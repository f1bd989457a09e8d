"""The commands, one feature a file: a cog reads the input, calls a part of the bot and answers."""
