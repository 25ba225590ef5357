//! Faults of a single server.

use std::io;

use redis::cmd;

use super::plan::Planned;
use super::topology::Locks;
use super::{Kind, World};
use crate::support::RedisServer;

/// Changes nothing. The server's time goes on while a script asks for it.
const LOOP: &str = "local function now() local time = redis.call('TIME') return time[1] * 1000 + time[2] / 1000 end \
                    local stop = now() + ARGV[1] while now() < stop do end return 0";

pub(super) fn begin(fault: &Planned, world: &World) -> io::Result<()> {
    let Locks::Single(server) = &world.locks else { return Ok(()) };
    match fault.kind {
        Kind::ServerRestarted => server.kill(),
        Kind::ServerEmptied => {
            server.kill();
            server.forget_data();
        }
        Kind::ServerStopped => server.stop(),
        Kind::ServerPaused => server.ask(cmd("CLIENT").arg("PAUSE").arg(fault.length).arg("ALL")),
        // Answered at its end.
        Kind::ServerBusy => _ = server.ask::<i64>(cmd("EVAL").arg(LOOP).arg(0).arg(fault.length)),
        Kind::OutOfMemory => set(server, "maxmemory", "1"),
        Kind::ScriptsFlushed => server.ask(cmd("SCRIPT").arg("FLUSH")),
        Kind::ConnectionsKilled => kill_connections(server),
        Kind::WrongPassword => {
            set(server, "requirepass", "another");
            kill_connections(server);
        }
        Kind::ReadOnly => server.ask(cmd("REPLICAOF").arg("127.0.0.1").arg(1)),
        Kind::ClockForward | Kind::ClockBack => {
            let milliseconds = i64::try_from(fault.parameter).unwrap_or(0);
            move_clock(world, if fault.kind == Kind::ClockBack { -milliseconds } else { milliseconds })?;
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn end(fault: &Planned, world: &World) -> io::Result<()> {
    let Locks::Single(server) = &world.locks else { return Ok(()) };
    match fault.kind {
        Kind::ServerRestarted | Kind::ServerEmptied => server.start_again(),
        Kind::ServerStopped => server.resume(),
        Kind::ServerPaused => server.ask(cmd("CLIENT").arg("UNPAUSE")),
        Kind::OutOfMemory => set(server, "maxmemory", "0"),
        Kind::WrongPassword => set(server, "requirepass", ""),
        Kind::ReadOnly => server.ask(cmd("REPLICAOF").arg("NO").arg("ONE")),
        Kind::ClockForward | Kind::ClockBack => move_clock(world, 0)?,
        _ => {}
    }
    Ok(())
}

fn set(server: &RedisServer, name: &str, value: &str) {
    server.ask::<()>(cmd("CONFIG").arg("SET").arg(name).arg(value));
}

/// Of commands and of messages; this one is left out by the server.
fn kill_connections(server: &RedisServer) {
    for kind in ["normal", "pubsub"] {
        _ = server.ask::<u64>(cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind));
    }
}

fn move_clock(world: &World, milliseconds: i64) -> io::Result<()> {
    world.clock.as_ref().map_or(Ok(()), |clock| clock.set(milliseconds))
}
