//! Readers hold a lock together, and writers alone: none of them overtakes or starves another.

use super::Subject;
use super::scene::{LONG, SHORT, Scene, acquired, at_once, granted, kept, lease, soon};
use crate::{DistributedLock, LockMode, LockOptions, Release};

/// The reading and the writing lock of one name, or `None` if the provider has no shared locks.
fn pair<S: Subject>(scene: &Scene<S>) -> Option<(DistributedLock, DistributedLock)> {
    Some((scene.lock_if_supported("document", reading(LONG))?, scene.lock("document")))
}

/// A reader's lease of this length without renewal.
fn reading(ttl: std::time::Duration) -> LockOptions {
    lease(ttl).mode(LockMode::Shared)
}

/// Readers hold the lock together, also over several providers, and no writer beside them. Each releases for itself.
pub async fn readers_hold_together(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, write)) = pair(&scene) else { return };
    let mut readers = vec![acquired(&read).await, acquired(&read).await];
    if let Some(another) = scene.lock_of_another_with("document", reading(LONG)).await {
        readers.push(acquired(&another).await);
    }
    for reader in &readers {
        assert_eq!((reader.mode(), reader.permit()), (LockMode::Shared, None), "a guard says in which mode it holds");
    }
    while let Some(reader) = readers.pop() {
        assert!(reader.is_held(), "readers hold a lock together: one has lost it");
        assert!(at_once(&write).await.is_none(), "no writer holds a lock beside a reader: it was granted");
        kept(reader.release().await, "a held lock can be released");
    }
    let writer = acquired(&write).await;
    assert!(at_once(&read).await.is_none(), "no reader holds a lock beside a writer: it was granted");
    assert_eq!(writer.mode(), LockMode::Exclusive, "a guard says in which mode it holds");
    drop(writer);
    scene.nothing_left().await;
}

/// A writer waits for a reader. Later readers wait behind the writer, also one that only tries: otherwise readers that
/// overlap would keep it out for ever.
pub async fn writers_do_not_starve(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, write)) = pair(&scene) else { return };
    let first = acquired(&read).await;
    let writer = scene.spawn_waiter(&write, 1).await;
    assert!(at_once(&read).await.is_none(), "a reader does not overtake a writer that waits: it was granted the lock");
    let second = scene.spawn_waiter(&read, 2).await;
    kept(first.release().await, "a held lock can be released");
    let writer = granted(writer, "a writer that waits gets the lock after the present readers").await;
    assert!(!second.is_finished(), "a reader does not overtake a writer that waits: it has ended its wait");
    kept(writer.release().await, "a held lock can be released");
    drop(granted(second, "a reader behind a writer gets the lock after it").await);
    scene.nothing_left().await;
}

/// A reader waits for a writer. Later writers wait behind the reader.
pub async fn readers_do_not_starve(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, write)) = pair(&scene) else { return };
    let first = acquired(&write).await;
    let reader = scene.spawn_waiter(&read, 1).await;
    let second = scene.spawn_waiter(&write, 2).await;
    kept(first.release().await, "a held lock can be released");
    let reader = granted(reader, "a reader that waits gets the lock before a later writer").await;
    assert!(!second.is_finished(), "a writer does not overtake a reader that waits: it has ended its wait");
    kept(reader.release().await, "a held lock can be released");
    drop(granted(second, "a writer behind a reader gets the lock after it").await);
    scene.nothing_left().await;
}

/// Two readers, a writer and a reader wait in this order. The first two are granted the lock together, and the last only
/// after the writer. Readers that hold together have one fencing token; everyone after them has a higher one.
pub async fn neighbouring_readers_are_granted_together(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, write)) = pair(&scene) else { return };
    let holder = acquired(&write).await;
    let mut highest = holder.fencing_token();
    let one = scene.spawn_waiter(&read, 1).await;
    let other = scene.spawn_waiter(&read, 2).await;
    let writer = scene.spawn_waiter(&write, 3).await;
    let last = scene.spawn_waiter(&read, 4).await;
    kept(holder.release().await, "a held lock can be released");
    let one = granted(one, "readers that wait next to each other are granted the lock together").await;
    let other = granted(other, "readers that wait next to each other are granted the lock together").await;
    assert!(one.is_held() && other.is_held(), "readers that wait next to each other hold the lock together");
    assert!(!writer.is_finished() && !last.is_finished(), "no waiter is overtaken: a later waiter has ended its wait");
    assert_eq!(one.fencing_token(), other.fencing_token(), "readers that hold a lock together have one token");
    assert!(one.fencing_token() > highest, "the token of readers is above that of the writer before them");
    highest = one.fencing_token();
    kept(one.release().await, "a held lock can be released");
    kept(other.release().await, "a held lock can be released");
    let writer = granted(writer, "a writer gets the lock after the readers before it").await;
    assert!(writer.fencing_token() > highest, "the token of a writer is above that of the readers before it");
    highest = writer.fencing_token();
    assert!(!last.is_finished(), "no waiter is overtaken: a reader has ended its wait before the writer's release");
    kept(writer.release().await, "a held lock can be released");
    let last = granted(last, "a reader behind a writer gets the lock after it").await;
    assert!(last.fencing_token() > highest, "the token of readers is above that of the writer before them");
    drop(last);
    scene.nothing_left().await;
}

/// A reader that joins others has their token. The readers after them have a higher one, also without a writer between.
pub async fn fences_rise_from_phase_to_phase(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, _)) = pair(&scene) else { return };
    let mut highest = None;
    for _ in 0..3 {
        let one = acquired(&read).await;
        let other = acquired(&read).await;
        assert_eq!(one.fencing_token(), other.fencing_token(), "readers that hold a lock together have one token");
        assert!(Some(one.fencing_token()) > highest, "the next readers have a higher token: {one:?}");
        highest = Some(one.fencing_token());
        kept(one.release().await, "a held lock can be released");
        let joined = acquired(&read).await;
        assert_eq!(highest, Some(joined.fencing_token()), "a reader that joins others has their token");
        drop((other, joined));
        scene.nothing_left().await;
    }
}

/// A reader whose process died is gone at the end of its own lease, though another reader renews for longer.
pub async fn dead_reader_is_not_kept_by_others(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, write)) = pair(&scene) else { return };
    let dead = acquired(&scene.lock_with("document", reading(SHORT))).await;
    let handle = dead.handle();
    // A holder that dies releases nothing.
    std::mem::forget(dead);
    let other = acquired(&read).await;
    assert!(kept(other.extend(LONG).await, "a held lock can be extended"), "a held lock can be extended");
    soon(handle.lost(), "a reader's lease that is not renewed ends, whatever others do").await;
    assert!(other.is_held(), "the end of one reader's lease changes nothing for another");
    assert!(at_once(&write).await.is_none(), "no writer holds a lock beside a reader: it was granted");
    kept(other.release().await, "a held lock can be released");
    let writer = soon(write.acquire(), "a dead reader is not kept alive by others").await;
    drop(kept(writer, "a dead reader is not kept alive by others"));
    scene.nothing_left().await;
}

/// An extension or release by a reader whose lease has ended changes nothing, though others hold the lock in its mode.
pub async fn expired_reader_is_not_revived(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, write)) = pair(&scene) else { return };
    let late = acquired(&scene.lock_with("document", reading(SHORT))).await;
    let other = acquired(&read).await;
    soon(late.lost(), "a reader's lease that is not renewed ends, whatever others do").await;
    let extended = kept(late.extend(LONG).await, "an extension after the lease has ended is no error");
    assert!(!extended && !late.is_held(), "an extension never revives a reader whose lease has ended");
    assert!(other.is_held(), "a late reader changes nothing for another");
    kept(other.release().await, "a held lock can be released");
    let writer = soon(write.acquire(), "a late extension takes no share of the lock").await;
    let writer = kept(writer, "a late extension takes no share of the lock");
    let released = kept(late.release().await, "a release after the lease has ended is no error");
    assert_eq!(released, Release::AlreadyLost, "a release after the lease has ended says that the lock was lost");
    assert!(writer.is_held(), "a late release leaves the next holder alone");
    assert!(at_once(&read).await.is_none(), "a late release leaves the next holder alone: a reader has the lock");
    drop(writer);
    scene.nothing_left().await;
}

/// The last readers release at the same time: the writer gets the lock each time.
pub async fn last_readers_leave_at_once(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, write)) = pair(&scene) else { return };
    for _ in 0..10 {
        let (one, other) = (acquired(&read).await, acquired(&read).await);
        let writer = scene.spawn_waiter(&write, 1).await;
        let released = tokio::join!(tokio::spawn(one.release()), tokio::spawn(other.release()));
        assert!(matches!(released, (Ok(Ok(_)), Ok(Ok(_)))), "held locks can be released: {released:?}");
        drop(granted(writer, "a writer gets the lock when the last readers leave at once").await);
    }
    scene.nothing_left().await;
}

/// A writer that waits between readers is cancelled: the reader behind it holds the lock beside the first one at once.
pub async fn cancelled_writer_lets_readers_in(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, write)) = pair(&scene) else { return };
    let first = acquired(&read).await;
    let writer = scene.spawn_waiter(&write, 1).await;
    let second = scene.spawn_waiter(&read, 2).await;
    writer.abort();
    let second =
        granted(second, "a reader gets the lock beside another when the writer between them is cancelled").await;
    assert!(first.is_held() && second.is_held(), "readers hold a lock together");
    drop((first, second));
    scene.nothing_left().await;
}

/// A reader is dropped when it has just been granted the lock: the writer behind it gets it.
pub async fn cancelled_reader_hands_over(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, write)) = pair(&scene) else { return };
    let holder = acquired(&write).await;
    let mut dying = Box::pin(read.acquire());
    scene.poll_until_queued(&mut dying, &read, 1).await;
    let behind = scene.spawn_waiter(&write, 2).await;
    kept(holder.release().await, "a held lock can be released");
    drop(dying);
    drop(granted(behind, "when a reader dies that was just granted the lock, the one behind it gets it").await);
    scene.nothing_left().await;
}

/// A writer expires while readers wait: all of them get the lock.
pub async fn readers_follow_an_expired_writer(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, _)) = pair(&scene) else { return };
    let late = acquired(&scene.lock_with("document", lease(SHORT))).await;
    let one = scene.spawn_waiter(&read, 1).await;
    let other = scene.spawn_waiter(&read, 2).await;
    let one = granted(one, "when a writer's lease ends, the readers behind it get the lock").await;
    let other = granted(other, "when a writer's lease ends, the readers behind it get the lock").await;
    assert!(!late.is_held(), "no reader holds a lock beside a writer: the expired writer still holds it");
    assert!(one.is_held() && other.is_held(), "readers hold a lock together");
    drop((late, one, other));
    scene.nothing_left().await;
}

/// There is no upgrade and no downgrade. Two readers that ask for the write lock wait for each other, until their waits
/// are over; nothing changes for them meanwhile.
pub async fn upgrades_are_not_granted(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, write)) = pair(&scene) else { return };
    let (one, other) = (acquired(&read).await, acquired(&read).await);
    assert!(at_once(&write).await.is_none(), "a reader is not granted the write lock as well");
    let upgrades = async { tokio::join!(write.try_acquire(SHORT / 2), write.try_acquire(SHORT / 2)) };
    let upgrades = soon(upgrades, "the waits of two readers for the write lock end").await;
    let refused = matches!(upgrades, (Ok(None), Ok(None)));
    assert!(refused, "two readers that want to write wait for each other: {upgrades:?}");
    assert!(one.is_held() && other.is_held(), "a refused upgrade changes nothing for the readers");
    drop((one, other));
    let writer = acquired(&write).await;
    assert!(at_once(&read).await.is_none(), "a writer is not granted the read lock as well");
    drop(writer);
    scene.nothing_left().await;
}

/// A close ends the locks of all readers, and the waits behind them.
pub async fn closed_with_readers(subject: impl Subject) {
    let scene = Scene::of(subject).await;
    let Some((read, write)) = pair(&scene) else { return };
    let readers = [acquired(&read).await, acquired(&read).await];
    scene.close_ends_all(&write, readers).await;
}
