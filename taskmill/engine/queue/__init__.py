"""What waits for its turn, and which of it goes first."""
