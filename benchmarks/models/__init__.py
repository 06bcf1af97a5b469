"""Random-weight GGUFs in the shapes of real models, written here: speed doesn't depend on what the weights are."""
