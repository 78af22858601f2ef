"""What single commands do, each to its end. Knows neither the demo nor the laboratory."""
