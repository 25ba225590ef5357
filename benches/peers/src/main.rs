//! Our locks beside the peers and the raw limit: one table, its plots, and what it says of the goals.
//!
//! See `docs/performance.md`, which a whole run writes.

mod args;
mod commands;
mod figures;
mod http;
mod machine;
mod memory;
mod redis;
mod report;
mod scale;
mod server;

use std::fmt::Write as _;
use std::time::Duration;

use args::Args;
use commands::{Monitor, Names};
use redis::{Contender, Scene};
use report::{MemoryResult, Notes, RedisResult};
use server::Server;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn main() -> Result<()> {
    let args = Args::parse()?;
    if args.help {
        println!("{}", args::HELP);
        return Ok(());
    }
    let load = machine::load();
    if args.scale {
        return scale(&args, &load);
    }
    if args.http {
        return http(&args, &load);
    }
    let mut notes = Notes::new();
    let on_redis = runtime()?.block_on(run_redis(&args, &mut notes))?;
    let in_memory = run_memory(&args)?;
    if on_redis.is_empty() && in_memory.is_empty() {
        return Err("nothing has such a name".into());
    }

    let mut text = machine::describe(&load);
    _ = writeln!(text, " {} rounds of {} s, in turns.", args.rounds, args.time.as_secs_f64());
    text += &report::redis_tables(&on_redis);
    text += &report::memory_table(&in_memory);
    for note in notes {
        _ = writeln!(text, "\n{note}");
    }
    println!("{text}");
    if args.write {
        report::write_between("peers", &text)?;
        report::plots(&on_redis, &in_memory)?;
        report::write_goals(&report::from_results(&on_redis, &in_memory))?;
    }
    Ok(())
}

/// Two workers, whatever the machine has, so that runs on several can be compared.
fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

async fn run_redis(args: &Args, notes: &mut Notes) -> Result<Vec<RedisResult>> {
    let mut results = Vec::new();
    let scenes: Vec<_> = redis::SCENES.into_iter().filter(|scene| args.wants_scene(scene.name)).collect();
    let contenders: Vec<_> = redis::contenders().into_iter().filter(|of| args.wants(of.name)).collect();
    if scenes.is_empty() || contenders.is_empty() {
        return Ok(results);
    }
    let server = Server::start()?;
    let url = server.url();
    let mut names = Vec::new();
    for contender in &contenders {
        let learned = learn(contender, &server).await?;
        for name in learned.in_both() {
            notes.push(format!("{}: scripts and clients both call `{name}`; all are counted.", contender.name));
        }
        names.push(learned);
    }
    let connection = redis::connect(&url).await?;
    for scene in &scenes {
        let mut of_scene: Vec<_> = contenders
            .iter()
            .zip(&names)
            .filter(|(contender, _)| contender.takes_part(scene))
            .map(|(contender, names)| {
                let result =
                    RedisResult { scene: scene.clone(), name: contender.name, rounds: Vec::new(), pings: Vec::new() };
                (contender, names, result)
            })
            .collect();
        for round in 1..=args.rounds {
            eprintln!("{}, round {round} of {}", scene.name, args.rounds);
            for (contender, names, result) in &mut of_scene {
                result.pings.push(redis::ping(&connection, args.time / 10).await?);
                let run = contender.round(&url, scene, args.time);
                result.rounds.push(redis::NAMES.scope(names.clone(), run).await?);
            }
        }
        results.extend(of_scene.into_iter().map(|(_, _, result)| result));
    }
    Ok(results)
}

/// Which commands are its clients', and which its scripts'.
async fn learn(contender: &Contender, server: &Server) -> Result<Names> {
    let scene: Scene = redis::scenes::LEARNING;
    // Those that only have keys of their own do so here too.
    let scene = if contender.takes_part(&scene) { scene } else { Scene { keys: redis::Keys::Own, ..scene } };
    let mut admin = redis::connect(&server.url()).await?;
    let monitor = Monitor::start(server.port())?;
    contender.round(&server.url(), &scene, Duration::from_millis(200)).await?;
    monitor.end(&mut admin).await
}

fn run_memory(args: &Args) -> Result<Vec<MemoryResult>> {
    let mut results = Vec::new();
    let contenders: Vec<_> = memory::CONTENDERS.iter().filter(|of| args.wants(of.name)).collect();
    for scene in memory::SCENES.iter().filter(|scene| args.wants_scene(scene.name)) {
        let mut of_scene: Vec<_> = contenders
            .iter()
            .map(|contender| (contender.round, MemoryResult { scene, name: contender.name, nanos: Vec::new() }))
            .collect();
        for round in 1..=args.rounds {
            eprintln!("{}, round {round} of {}", scene.name, args.rounds);
            for (run, result) in &mut of_scene {
                result.nanos.push(run(scene, args.time / 4)?);
            }
        }
        results.extend(of_scene.into_iter().map(|(_, result)| result));
    }
    Ok(results)
}

fn scale(args: &Args, load: &str) -> Result<()> {
    let (table, measured) = runtime()?.block_on(async {
        let contenders = redis::contenders();
        let ours = contenders.iter().find(|of| of.name == Contender::OURS).ok_or("ours is not among them")?;
        let server = Server::start()?;
        let names = learn(ours, &server).await?;
        drop(server);
        redis::NAMES.scope(names, scale::run(ours, args.time)).await
    })?;
    let text = format!("{}\n\n{table}", machine::describe(load));
    println!("{text}");
    if args.write {
        report::write_between("scale", &text)?;
        report::write_goals(&measured)?;
    }
    Ok(())
}

fn http(args: &Args, load: &str) -> Result<()> {
    let (table, measured) = runtime()?.block_on(http::run(args.rounds, args.time))?;
    let text = format!("{}\n\n{table}", machine::describe(load));
    if args.write {
        report::write_between("http", &text)?;
        report::write_goals(&measured)?;
    }
    Ok(())
}
