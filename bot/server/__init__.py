"""What a server's owners decide: the rules, the gate that asks them, and /config."""
