"""Profile models: parameters and MACs, latency, training steps and memory."""
