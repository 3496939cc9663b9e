"""The teacher, AutoSAM Adapter: one file per part of the paper's Fig. 2."""
