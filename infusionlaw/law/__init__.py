"""The law half: from a table of runs to points, from points to a law. numpy and scipy only."""
