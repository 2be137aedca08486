"""One network in several runtimes: how fast, how accurate, and where the time goes in each."""
