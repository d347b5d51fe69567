"""What looks at a training as it goes on, and may answer; one file a watcher."""
