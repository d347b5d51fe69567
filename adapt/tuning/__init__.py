"""What is trained; one file a tuning."""
