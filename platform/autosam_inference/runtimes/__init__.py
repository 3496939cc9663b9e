"""What computes the logits; each runtime is imported only when it is asked for."""
