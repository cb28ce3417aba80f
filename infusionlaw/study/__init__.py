"""A study file and its folder: which runs it asks for, which are done, which are missing."""
