"""The front desk: triage, your files, a pizza counter and a market desk."""
