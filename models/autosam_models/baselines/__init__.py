"""What the paper compares with beside SwinUNETR, a file per family; all are trained through the one loop.

So what differs between two rows of a table is the network, not how it was trained.
"""
