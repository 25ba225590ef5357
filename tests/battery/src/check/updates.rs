//! P3: a store that refuses stale fences loses no update.
//!
//! The holder of the lock reads a number and writes one more. The store refuses a fence lower than the highest that it
//! has seen, so the order of the fences is the order of the updates. In that order no number goes back, each write is
//! one more than its read, and at the end the number is that of the writes. That holds whatever happens to the locks.

use super::record::{Final, Place, Store, StoreEnd};
use super::scene::Scene;
use super::verdict::Judged;

/// What was stored for a resource in the rounds so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stored {
    acknowledged: u64,
    /// Writes that may have been done or not.
    unknown: u64,
    /// Acknowledged writes of a number that was there already.
    repeated: u64,
    /// What was there at least, and at most.
    floor: u64,
    ceiling: u64,
    last: Option<u64>,
    fresh: bool,
    place: Place,
}

impl Stored {
    /// Acknowledged updates that are not in the store, at least.
    pub(super) fn lost(&self) -> u64 {
        self.last.map_or(0, |last| self.acknowledged.saturating_sub(last)).max(self.repeated)
    }
}

pub(super) fn judge(scene: &Scene<'_>, resource: usize, stored: &mut Stored, judged: &mut Judged) {
    let Some(record) = scene.round.resources.get(resource) else { return };
    let mut all: Vec<&Store> = record.stores.iter().collect();
    all.sort_by_key(|store| (store.fence, store.began));
    judged.checked += all.len() as u64;
    stored.repeated += repeated(&all);
    for store in &all {
        let before = *stored;
        let wrong = stored.add(store);
        if let Some(wrong) = wrong {
            judged.violation(|| {
                let what = format!(
                    "{} {} with fence {}: {wrong}; there were {} to {}",
                    if store.write { "wrote" } else { "read" },
                    store.value,
                    store.fence,
                    before.floor,
                    before.ceiling
                );
                scene.about(resource, what, &[store.begin])
            });
        }
    }
    stale(scene, resource, &all, judged);
    if let Some(last) = record.last {
        ends(scene, resource, stored, last, judged);
    }
}

/// At the end of all: a resource that was written has its final number.
pub(super) fn judge_end(scene: &Scene<'_>, resource: usize, stored: &Stored, judged: &mut Judged) {
    if stored.acknowledged > 0 && !stored.fresh {
        judged.violation(|| {
            scene.about(resource, "it was written, and its number at the end is missing", &[stored.place])
        });
    }
}

impl Stored {
    fn add(&mut self, store: &Store) -> Option<&'static str> {
        let known = matches!(store.end, StoreEnd::Done { .. });
        let mut wrong = None;
        match store.end {
            StoreEnd::Refused { .. } => return None,
            StoreEnd::Unknown if !store.write => return None,
            StoreEnd::Unknown => self.unknown += 1,
            StoreEnd::Done { .. } if store.write => {
                self.acknowledged += 1;
                self.fresh = false;
                self.place = store.begin;
                if store.read.is_some_and(|read| store.value != read + 1) {
                    wrong = Some("not one more than was read");
                } else if store.value <= self.floor {
                    wrong = Some("an update is lost");
                }
            }
            StoreEnd::Done { .. } if store.value < self.floor => wrong = Some("it went back"),
            StoreEnd::Done { .. } if store.value > self.ceiling => wrong = Some("that was never written"),
            StoreEnd::Done { .. } => {}
        }
        if known {
            self.floor = self.floor.max(store.value);
        }
        if known || store.write {
            self.ceiling = self.ceiling.max(store.value);
        }
        wrong
    }
}

/// Acknowledged writes of a number that another one wrote as well.
fn repeated(stores: &[&Store]) -> u64 {
    let written = stores.iter().filter(|store| store.write && matches!(store.end, StoreEnd::Done { .. }));
    let mut values: Vec<u64> = written.map(|store| store.value).collect();
    let all = values.len();
    values.sort_unstable();
    values.dedup();
    (all - values.len()) as u64
}

/// Nothing is accepted that began after something with a higher fence had been done; nothing is refused unless
/// something with a higher fence had begun.
fn stale(scene: &Scene<'_>, resource: usize, stores: &[&Store], judged: &mut Judged) {
    // The earliest among the higher fences.
    let mut done: Option<(u64, Place)> = None;
    let mut begun: Option<u64> = None;
    let mut index = stores.len();
    while let Some(fence) = index.checked_sub(1).and_then(|last| stores.get(last)).map(|store| store.fence) {
        let from = stores.partition_point(|store| store.fence < fence);
        let same = stores.get(from..index).unwrap_or_default();
        for store in same {
            match store.end {
                StoreEnd::Done { .. } if done.is_some_and(|(done, _)| done < store.began) => {
                    judged.violation(|| {
                        let kind = if store.write { "write" } else { "read" };
                        let what = format!("a stale {kind} with fence {} was accepted", store.fence);
                        scene.about(resource, what, &[done.map_or(store.begin, |(_, place)| place), store.begin])
                    });
                }
                StoreEnd::Refused { at } if begun.is_none_or(|begun| begun > at) => {
                    judged.violation(|| {
                        let what = format!("fence {} was refused, and none was higher", store.fence);
                        scene.about(resource, what, &[store.begin])
                    });
                }
                _ => {}
            }
        }
        for store in same {
            if let StoreEnd::Done { at } = store.end
                && done.is_none_or(|(done, _)| at < done)
            {
                done = Some((at, store.begin));
            }
            begun = Some(begun.map_or(store.began, |begun| begun.min(store.began)));
        }
        index = from;
    }
}

fn ends(scene: &Scene<'_>, resource: usize, stored: &mut Stored, last: Final, judged: &mut Judged) {
    judged.checked += 1;
    stored.last = Some(last.value);
    stored.fresh = true;
    let Stored { acknowledged, unknown, floor, ceiling, .. } = *stored;
    let counted = (acknowledged..=acknowledged + unknown).contains(&last.value);
    if !counted || last.value < floor || last.value > ceiling {
        judged.violation(|| {
            let what = format!(
                "{} at the end, after {acknowledged} updates and perhaps {unknown} more, which came to {floor} to {ceiling}",
                last.value
            );
            scene.about(resource, what, &[last.place])
        });
    }
}
