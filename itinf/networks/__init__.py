"""Networks: blocks, states and readout of a model, and traces of batches through it."""
