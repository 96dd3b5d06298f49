"""Training one run. Read trainer.py first."""
