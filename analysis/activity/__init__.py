"""From traces and spikes to the activity of neurons in blocks of time."""
