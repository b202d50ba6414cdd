"""A desk whose person writes the script: what the model does is in the message itself, so a restarted server goes on
with it."""
