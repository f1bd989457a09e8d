"""What a bot of version 0.1.0 left behind: its data folder, its posts, and what each press did."""
