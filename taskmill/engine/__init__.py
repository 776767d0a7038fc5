"""What feeds the rules and carries out what they decide."""
