"""From a finished run to a bundle that leaves the lab: network, parity, card and texts."""
