"""The generation core: requests, the waiting line and the engine. Knows no Discord."""
