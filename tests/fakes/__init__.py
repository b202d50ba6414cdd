"""Stand-ins for other people's servers, on real sockets. Nothing here imports a test."""
