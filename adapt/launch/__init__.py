"""Where runs are carried out, one file a place."""
