"""What a run left behind, and the verdict on it. Shares no code with the bus, and starts nothing."""
