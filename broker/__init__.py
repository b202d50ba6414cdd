"""Where tasks wait and run: database, queue, inbox, event log, wake-ups, worker. Knows nothing of agents or sockets."""
