"""What is told and counted of what happens."""
