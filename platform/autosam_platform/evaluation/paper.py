"""Figures of the paper, to be shown beside ours and plainly marked as the paper's."""

TABLE_4 = {0.0: 78.54, 0.2: 82.45, 0.5: 83.27, 0.8: 81.14, 1.0: 79.63}
"""Mean Dice in percent by λ: SwinUNETR-Small on BTCV's test cases (Table 4)."""
