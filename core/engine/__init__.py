"""The running set: requests that share UNet calls, step by step. Engine process only."""
