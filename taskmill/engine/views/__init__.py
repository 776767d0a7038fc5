"""What can be seen of the tasks and of the scheduler."""
