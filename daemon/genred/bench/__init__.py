"""What listening costs: each measurement a file, each carried out in a process of its own."""
