"""What is asked for: by handles, by other processes, by people who steer."""
