//! Bad histories, each of which the checker has to reject.
