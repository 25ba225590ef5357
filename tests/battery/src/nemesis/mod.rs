//! Plans faults from a seed, and carries them out beside the workers.
