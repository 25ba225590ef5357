//! A number for each resource, on a server of its own, that refuses stale fences, from readers too.
