"""How good a prediction is: Dice and NSD per case and class, as tables and as pictures."""
