"""What users are to trust: each promise tried the hard way."""
