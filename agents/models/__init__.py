"""Language models, and what stands in for one. Each file is imported by who needs it: nothing is imported here."""
