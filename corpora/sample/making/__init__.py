"""How the silver labels of the sample are made; needs the extra `build-sample`."""
