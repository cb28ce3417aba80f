"""From a law to a dose: what the constraints allow, what is best of that, what would help where nothing is."""
