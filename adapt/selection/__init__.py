"""Which lines of a text are trained on: filters that drop lines, rankings of which the best lines are kept."""
