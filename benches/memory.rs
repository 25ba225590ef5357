//! What locks in memory cost: the uncontended and the contended cycle, and the layer's share of a request.
//!
//! `cargo bench --bench memory`. Times are per cycle of acquire and release; allocations are counted. The
//! hand-made lock beside ours is the usual map of mutexes, which never frees an entry and knows no lease, no
//! order and no fence; it is here as a yardstick.

#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Waker};

use divan::AllocProfiler;
use orchestrix_locking::Resource;
use tokio::runtime::{Builder, Runtime};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn name(number: usize) -> Resource {
    Resource::try_from(format!("account:{number}")).unwrap()
}

/// Polls a future that has its answer at once, as an uncontended acquire does.
fn at_once<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => unreachable!("no other caller holds the lock"),
    }
}

/// The map of mutexes that people write by hand.
#[derive(Default)]
struct HandMade(std::sync::Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl HandMade {
    fn lock(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.0.lock().unwrap().entry(name.to_owned()).or_default())
    }
}

mod uncontended {
    use divan::counter::ItemsCount;
    use divan::{Bencher, black_box};
    use orchestrix_locking::{DistributedLockProvider, InMemoryLockProvider, LockOptions, Resource};

    use super::{HandMade, at_once, name, runtime};

    #[divan::bench]
    fn hand_made(bencher: Bencher<'_, '_>) {
        let map = HandMade::default();
        let runtime = runtime();
        let _inside = runtime.enter();
        bencher.bench_local(|| drop(at_once(map.lock(black_box("account:42")).lock_owned())));
    }

    /// The cycle of a lock that is kept.
    #[divan::bench]
    fn acquire_and_release(bencher: Bencher<'_, '_>) {
        let provider = InMemoryLockProvider::new();
        let lock = provider.create_lock(name(42), LockOptions::default()).unwrap();
        let runtime = runtime();
        let _inside = runtime.enter();
        bencher.bench_local(|| drop(at_once(lock.acquire()).unwrap()));
    }

    /// From the name as text to the release, as a layer does it.
    #[divan::bench]
    fn name_acquire_and_release(bencher: Bencher<'_, '_>) {
        let provider = InMemoryLockProvider::new();
        let runtime = runtime();
        let _inside = runtime.enter();
        bencher.bench_local(|| {
            let resource = Resource::try_from(black_box("account:42")).unwrap();
            let lock = provider.create_lock(resource, LockOptions::default()).unwrap();
            drop(at_once(lock.acquire()).unwrap());
        });
    }

    /// The same, on two threads with names of their own.
    #[divan::bench(threads = [1, 2])]
    fn own_names(bencher: Bencher<'_, '_>) {
        let provider = InMemoryLockProvider::new();
        let runtime = runtime();
        bencher
            .with_inputs(|| {
                let own = format!("{:?}", std::thread::current().id());
                provider.create_lock(Resource::try_from(own).unwrap(), LockOptions::default()).unwrap()
            })
            .counter(ItemsCount::new(1_000_usize))
            .bench_local_values(|lock| {
                let _inside = runtime.enter();
                for _ in 0..1_000 {
                    drop(at_once(lock.acquire()).unwrap());
                }
            });
    }
}

mod contended {
    use std::sync::Arc;

    use divan::Bencher;
    use divan::counter::ItemsCount;
    use orchestrix_locking::{DistributedLock, DistributedLockProvider, InMemoryLockProvider, LockOptions};

    use super::{HandMade, name, runtime};

    /// Tasks that take turns on one name, on two worker threads. Per item: one cycle.
    #[divan::bench(args = [2, 64, 512], sample_count = 20)]
    fn one_name(bencher: Bencher<'_, '_>, tasks: usize) {
        let provider = InMemoryLockProvider::new();
        let lock = provider.create_lock(name(0), LockOptions::default()).unwrap();
        run(bencher, tasks, move |_| lock.clone());
    }

    /// Tasks on ten thousand names. Per item: one cycle.
    #[divan::bench(args = [64], sample_count = 20)]
    fn many_names(bencher: Bencher<'_, '_>, tasks: usize) {
        let provider = InMemoryLockProvider::new();
        let locks: Vec<_> =
            (0..10_000).map(|number| provider.create_lock(name(number), LockOptions::default()).unwrap()).collect();
        run(bencher, tasks, move |step| locks.get(step * 7 % 10_000).unwrap().clone());
    }

    /// The map of mutexes, for comparison. Per item: one cycle.
    #[divan::bench(args = [64], sample_count = 20)]
    fn hand_made_one_name(bencher: Bencher<'_, '_>, tasks: usize) {
        let runtime = runtime();
        let map = Arc::new(HandMade::default());
        let each = 20_000 / tasks;
        bencher.counter(ItemsCount::new(each * tasks)).bench_local(|| {
            runtime.block_on(async {
                let spawned: Vec<_> = (0..tasks)
                    .map(|_| {
                        let map = Arc::clone(&map);
                        tokio::spawn(async move {
                            for _ in 0..each {
                                drop(map.lock("account:0").lock_owned().await);
                            }
                        })
                    })
                    .collect();
                for task in spawned {
                    task.await.unwrap();
                }
            });
        });
    }

    fn run(bencher: Bencher<'_, '_>, tasks: usize, lock: impl Fn(usize) -> DistributedLock + Send + Sync + 'static) {
        let runtime = runtime();
        let lock = Arc::new(lock);
        let each = 20_000 / tasks;
        bencher.counter(ItemsCount::new(each * tasks)).bench_local(|| {
            runtime.block_on(async {
                let spawned: Vec<_> = (0..tasks)
                    .map(|task| {
                        let lock = Arc::clone(&lock);
                        tokio::spawn(async move {
                            for step in 0..each {
                                drop(lock(task * each + step).acquire().await.unwrap());
                            }
                        })
                    })
                    .collect();
                for task in spawned {
                    task.await.unwrap();
                }
            });
        });
    }
}

mod layer {
    use std::convert::Infallible;
    use std::time::Duration;

    use divan::Bencher;
    use orchestrix_locking::{InMemoryLockProvider, LockLayer};
    use tower::{Layer, Service, service_fn};

    use super::{at_once, runtime};

    #[divan::bench]
    fn without(bencher: Bencher<'_, '_>) {
        let mut service = service_fn(|request: String| async move { Ok::<_, Infallible>(request) });
        bencher.with_inputs(|| "account:42".to_owned()).bench_local_values(|request| at_once(service.call(request)));
    }

    #[divan::bench]
    fn around_a_ready_service(bencher: Bencher<'_, '_>) {
        let runtime = runtime();
        let _inside = runtime.enter();
        let layer = LockLayer::new(InMemoryLockProvider::new(), |request: &String| request.clone());
        let mut service = layer
            .wait(Duration::from_secs(2))
            .layer(service_fn(|request: String| async move { Ok::<_, Infallible>(request) }));
        bencher.with_inputs(|| "account:42".to_owned()).bench_local_values(|request| at_once(service.call(request)));
    }
}
