"""One training loop on Ray Train for every model; what a fit optimises is an objective handed to it."""
