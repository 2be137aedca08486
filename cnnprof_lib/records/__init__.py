"""What is stored under outputs/: runs, checks of the machine, trainings, and the only module that knows the paths."""
