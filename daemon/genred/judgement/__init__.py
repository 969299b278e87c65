"""From scores to what is said: gate, smoother, segments."""
