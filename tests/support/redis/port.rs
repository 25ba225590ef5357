//! Ports that no other program has, now or soon.

use std::hash::{BuildHasher, RandomState};
use std::net::{Ipv4Addr, TcpListener};

/// A listener on a free loopback port.
///
/// Not one of the kernel's choice (port 0): those are also the ones it gives to outgoing connections. A client that
/// tries to reach a killed server again and again would get, now and then, the server's own port as its source,
/// connect to itself, and keep the server from coming back.
pub(super) fn bind_free_port() -> TcpListener {
    const FIRST: u64 = 10_000;
    const COUNT: u64 = 20_000;
    let start = RandomState::new().hash_one(std::process::id()) % COUNT;
    (0..COUNT)
        .filter_map(|step| u16::try_from(FIRST + (start + step) % COUNT).ok())
        .find_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok())
        .expect("a port is free")
}
