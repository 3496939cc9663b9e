"""Where a segmentation is not to be trusted: per organ an expected Dice, an interval, a flag and plain words.

``measures`` looks on while a scan is predicted (what overlapping windows say, how sure the network is, what shape and
place the organs have), ``signals`` compares that with the training set, and ``calibration`` makes a Dice of it.
"""
