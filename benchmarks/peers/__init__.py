"""Other task libraries and taskmill side by side, under one workload."""
