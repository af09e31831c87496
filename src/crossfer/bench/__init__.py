"""How fast crossfer is on this machine: timing, what is timed, and the table of it. Runtime install only."""
