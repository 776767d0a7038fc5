"""How each library is told to do the workload; every module runs where its library is installed."""
