"""What a sweep of many trials costs its driver and its reader, with made-up training and everything else real."""
