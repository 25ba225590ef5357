//! A Tower service without HTTP under `LockLayer`: transfers that do not disturb each other.
//!
//! Run it with `cargo run --example plain_tower`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use orchestrix_locking::{BoxError, LockError, Locking};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

#[derive(Debug)]
struct Deposit {
    account: &'static str,
    amount: i64,
}

/// A store that is read and written in two steps, as stores on other machines are.
#[derive(Debug, Default)]
struct Balance(AtomicI64);

impl Balance {
    async fn deposit(&self, amount: i64) -> i64 {
        let before = self.0.load(Ordering::Relaxed);
        sleep(Duration::from_millis(2)).await;
        let after = before + amount;
        self.0.store(after, Ordering::Relaxed);
        after
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let locking = Locking::builder().add_in_memory_locking().build()?;
    let balance = Arc::new(Balance::default());

    let deposit = {
        let balance = Arc::clone(&balance);
        service_fn(move |request: Deposit| {
            let balance = Arc::clone(&balance);
            async move { Ok::<_, BoxError>(balance.deposit(request.amount).await) }
        })
    };

    // The closure names what a request locks.
    let layer = locking.layer(|request: &Deposit| request.account);
    let patient = ServiceBuilder::new().layer(layer.clone().wait(Duration::from_secs(10))).service(deposit.clone());
    // Made from one layer, both services share its locks.
    let hasty = ServiceBuilder::new().layer(layer.wait(Duration::ZERO)).service(deposit.clone());

    send(deposit, 100).await;
    println!("100 deposits of 1 without the layer: {}", balance.0.swap(0, Ordering::Relaxed));

    let refused = send(patient, 100).await;
    let total = balance.0.swap(0, Ordering::Relaxed);
    println!("100 deposits of 1 that wait for each other: {total}, {refused} refused");
    if total != 100 {
        return Err("deposits were lost under the lock".into());
    }

    let refused = send(hasty, 100).await;
    let total = balance.0.swap(0, Ordering::Relaxed);
    println!("100 deposits of 1 that do not wait: {total}, {refused} refused");
    if total + refused != 100 {
        return Err("a deposit was neither made nor refused".into());
    }
    // Before the program ends: on Redis this waits for the last releases.
    locking.close().await;
    Ok(())
}

/// Sends deposits all at once, and counts the refused ones.
async fn send<S>(service: S, count: usize) -> i64
where
    S: Service<Deposit, Response = i64, Error = BoxError> + Clone + Send + 'static,
    S::Future: Send,
{
    let mut deposits = JoinSet::new();
    for _ in 0..count {
        deposits.spawn(service.clone().oneshot(Deposit { account: "shop", amount: 1 }));
    }
    let mut refused = 0;
    while let Some(answer) = deposits.join_next().await {
        match answer {
            Ok(Ok(_)) => {}
            // A refusal is a `LockError` inside the boxed error; everything else is the service's own.
            Ok(Err(error)) if matches!(error.downcast_ref(), Some(LockError::Busy { .. })) => refused += 1,
            other => println!("failed: {other:?}"),
        }
    }
    refused
}
