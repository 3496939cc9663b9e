"""Scans in, label maps out: files, grids, resampling, intensities."""
