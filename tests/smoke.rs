use orchestrix_locking::*;
use std::time::Duration;
use tokio::time::{Instant, advance, timeout};

#[tokio::test(start_paused = true)]
async fn works() {
    let locking = Locking::builder().add_in_memory_locking().build().unwrap();
    let lock = locking.lock("a").unwrap();
    let g = lock.acquire().await.unwrap();
    assert!(lock.try_acquire(Duration::ZERO).await.unwrap().is_none());
    assert!(lock.try_acquire(Duration::from_millis(200)).await.unwrap().is_none());
    let l2 = lock.clone();
    let t = tokio::spawn(async move { l2.acquire().await.unwrap().fencing_token() });
    tokio::task::yield_now().await;
    let f = g.fencing_token();
    assert_eq!(g.release().await.unwrap(), Release::Released);
    assert!(t.await.unwrap() > f);
    // expiry
    let l = locking.lock_with("b", LockOptions::default().ttl(Duration::from_secs(1)).auto_renew(false)).unwrap();
    let g = l.acquire().await.unwrap();
    let lost = g.lost();
    let start = Instant::now();
    let g2 = l.acquire().await.unwrap();
    assert_eq!(start.elapsed().as_millis(), 1000);
    timeout(Duration::from_millis(1), lost).await.unwrap();
    assert!(!g.is_held());
    assert!(!g.extend(Duration::from_secs(5)).await.unwrap());
    assert_eq!(g.release().await.unwrap(), Release::AlreadyLost);
    assert!(g2.extend(Duration::from_secs(5)).await.unwrap());
    assert_eq!(g2.remaining(), Duration::from_secs(5));
    advance(Duration::from_secs(4)).await;
    assert!(g2.is_held());
    // max hold + renew
    let m = locking
        .lock_with("c", LockOptions::default().ttl(Duration::from_secs(3)).max_hold(Some(Duration::from_secs(10))))
        .unwrap();
    let g3 = m.acquire().await.unwrap();
    let s = Instant::now();
    g3.lost().await;
    assert_eq!(s.elapsed().as_millis(), 10_000);
    locking.close().await;
    assert!(matches!(m.acquire().await, Err(LockError::Closed)));
}
