"""How precisely a design would locate a collapse, told by simulation before it is run."""
