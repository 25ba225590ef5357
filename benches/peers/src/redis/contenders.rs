//! Who is measured.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use super::ours::Ours;
use super::pipelined::Pipelined;
use super::raw::Raw;
use super::theirs::{AsyncRedisLock, DistributedLockRedis, RsLock};
use super::{Client, Round, Scene, run};
use crate::Result;

type Rounding = Pin<Box<dyn Future<Output = Result<Round>> + Send>>;

/// A name, and how a round of it is run.
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    scenes: fn(&Scene) -> bool,
    round: Box<dyn Fn(String, Scene, Duration) -> Rounding>,
}

impl Contender {
    pub(crate) const OURS: &'static str = "orchestrix-locking";
    pub(crate) const RAW: &'static str = "raw, 5 ms poll";
    pub(crate) const GATHERED: &'static str = "raw, gathered pipelines";

    pub(crate) fn takes_part(&self, scene: &Scene) -> bool {
        (self.scenes)(scene)
    }

    pub(crate) async fn round(&self, url: &str, scene: &Scene, time: Duration) -> Result<Round> {
        (self.round)(url.to_owned(), scene.clone(), time)
            .await
            .map_err(|error| format!("{}, {}: {error}", self.name, scene.name).into())
    }

    /// Whether it is another crate's.
    pub(crate) fn is_peer(name: &str) -> bool {
        ![Self::OURS, Self::RAW, Self::GATHERED].contains(&name)
    }
}

fn contender<C, F, N>(name: &'static str, scenes: fn(&Scene) -> bool, connect: N) -> Contender
where
    C: Client,
    F: Future<Output = Result<C>> + Send + 'static,
    N: Fn(String) -> F + Copy + Send + Sync + 'static,
{
    Contender { name, scenes, round: Box::new(move |url, scene, time| Box::pin(run(url, scene, time, connect))) }
}

pub(crate) fn contenders() -> Vec<Contender> {
    let five = Some(Duration::from_millis(5));
    let always: fn(&Scene) -> bool = |_| true;
    // Where nothing is retried, the delay of a retry makes no difference.
    let contended: fn(&Scene) -> bool = Scene::contended;
    let uncontended: fn(&Scene) -> bool = |scene| !scene.contended();
    vec![
        contender(Contender::OURS, always, |url| async move { Ours::connect(&url) }),
        contender(Contender::RAW, always, |url| async move { Raw::connect(&url).await }),
        contender(Contender::GATHERED, uncontended, |url| async move { Pipelined::connect(&url).await }),
        contender("async-redis-lock", always, |url| async move { AsyncRedisLock::connect(&url, None).await }),
        contender(
            "async-redis-lock, 5 ms",
            contended,
            move |url| async move { AsyncRedisLock::connect(&url, five).await },
        ),
        contender("rslock", always, |url| async move { RsLock::connect(&url, None) }),
        contender("rslock, 0 to 5 ms", contended, move |url| async move { RsLock::connect(&url, five) }),
        contender(
            "distributed-lock-redis, 5 ms",
            always,
            |url| async move { DistributedLockRedis::connect(&url).await },
        ),
    ]
}
