"""Whether the essential promises hold on this machine and disk, with real processes and files."""
