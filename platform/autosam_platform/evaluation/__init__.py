"""How good a prediction is: Dice, NSD and HD95 per case and class, as tables and as pictures."""
