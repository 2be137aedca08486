"""What people start: the command line, the running of notebooks, the report, the widgets."""
