"""The generation core: requests, the queue and the engine. Knows no Discord."""
