"""From a sweep to a claim: selection, registration and final runs. No Ray, no terminal."""
