"""Values only: what the other layers say to each other."""
