"""Dataset descriptions, readers and checks, geometry, preparation, the patch store and training patches."""
