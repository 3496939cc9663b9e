"""Dataset descriptions, the phantom, readers and checks, preparation, the patch store and training patches."""
