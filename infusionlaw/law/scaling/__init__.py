"""From points to a law: forms, their fit, and how well they predict."""
