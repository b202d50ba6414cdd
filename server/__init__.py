"""Who is spoken to: protocol, sessions, connections, HTTP, command line.

It reads and writes the database, and never runs an agent.
"""
