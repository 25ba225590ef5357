//! Locks at the start and at the end of a service: register, check, use, close.
//!
//! Run it with `cargo run --example startup_registration`.

use std::time::Duration;

use orchestrix_locking::{BoxError, InMemoryLockProvider, LockError, LockOptions, Locking};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // Every mistake that can be seen without asking a server is reported at once.
    let refused = Locking::builder()
        .add_provider("jobs", InMemoryLockProvider::new())
        .add_provider("jobs", InMemoryLockProvider::new())
        .default_options(LockOptions::default().ttl(Duration::ZERO))
        .build()
        .err()
        .ok_or("three mistakes have not been noticed")?;
    println!("A registration with mistakes is refused:");
    for problem in refused.problems() {
        println!("  - {problem}");
    }

    // A correct registration: a default provider and a named one. Their locks are independent.
    let locking = Locking::builder()
        .add_in_memory_locking()
        .add_provider("jobs", InMemoryLockProvider::new())
        .default_options(LockOptions::default().ttl(Duration::from_secs(20)))
        .build()?;
    let jobs = locking.named("jobs")?;
    println!("Registered: {:?}", locking.default_options());

    // For a readiness probe. It asks every provider that was registered.
    locking.check().await?;
    println!("Ready.");

    let order = locking.lock("order:42")?.acquire().await?;
    let job = jobs.lock("order:42")?.acquire().await?;
    println!("One name, two providers, two locks: tokens {} and {}", order.fencing_token(), job.fencing_token());
    order.release().await?;

    // At the end: locks that are still held are released, and their guards see that as a loss. A program that ends without
    // this may leave the locks of dropped guards held until their leases end.
    locking.close().await;
    job.lost().await;
    println!("Closed; the job's lock is held: {}", job.is_held());
    match locking.lock("order:42")?.acquire().await {
        Err(LockError::Closed) => println!("Acquiring now says: {}", LockError::Closed),
        other => return Err(format!("a closed provider answered {other:?}").into()),
    }
    Ok(())
}
