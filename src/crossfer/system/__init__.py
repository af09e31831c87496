"""What is asked of the operating system: whole files, locks, cores, which processor this is."""
