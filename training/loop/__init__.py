"""The loop around fitting: which frames people label, what that costs them, and the neighbours to beat."""
