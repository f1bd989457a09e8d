"""Files of weights: what they are, whether they can be trusted, how their tensors are read."""
