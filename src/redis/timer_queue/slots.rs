//! [`Slots`]: the timers of one time.

/// One timer, or several in slots that are used again.
#[derive(Debug)]
pub(super) enum Slots<T> {
    /// In slot 0. Most times have one timer, unless there are very many locks.
    One(T),
    Many(Box<Many<T>>),
}

/// Slots in rows. Only the first row is ever moved, while it is small. One list that is moved whenever it grows would leave
/// holes in the allocator's memory that fit little else, and there may be very many timers.
#[derive(Debug)]
pub(super) struct Many<T> {
    /// All but the last have [`ROW`] slots.
    rows: Vec<Vec<Slot<T>>>,
    /// The free slot that is taken next. The end, if none is free.
    free: u32,
    taken: u32,
}

/// A timer, or the free slot that is taken after this one.
#[derive(Debug)]
pub(super) enum Slot<T> {
    Taken(T),
    Free(u32),
}

/// Half a kilobyte, with timers of sixteen bytes.
const ROW: usize = 32;

pub(super) type IntoIter<T> = std::iter::Flatten<std::vec::IntoIter<Vec<Slot<T>>>>;

impl<T> Slots<T> {
    /// Puts a timer into a slot.
    pub(super) fn add(&mut self, timer: T) -> u32 {
        if let Self::Many(many) = self {
            return many.add(timer);
        }
        let many = Box::new(Many { rows: Vec::new(), free: 0, taken: 0 });
        if let Self::One(first) = std::mem::replace(self, Self::Many(many))
            && let Self::Many(many) = self
        {
            many.add(first);
            return many.add(timer);
        }
        0
    }

    /// Frees a slot. `true` if no timer is left: then the whole is to be dropped.
    pub(super) fn remove(&mut self, slot: u32) -> bool {
        match self {
            Self::One(_) => slot == 0,
            Self::Many(many) => {
                many.remove(slot);
                many.taken == 0
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(many) => many.rows.iter().map(Vec::len).sum(),
        }
    }
}

impl<T> Many<T> {
    fn add(&mut self, timer: T) -> u32 {
        let slot = self.free;
        self.taken += 1;
        if let Some(free) = self.slot_mut(slot) {
            if let Slot::Free(next) = std::mem::replace(free, Slot::Taken(timer)) {
                self.free = next;
            }
            return slot;
        }
        self.free = slot.saturating_add(1);
        match self.rows.last_mut() {
            Some(last) if last.len() < ROW => last.push(Slot::Taken(timer)),
            _ => {
                // The first row may stay the only one, and short. It grows as it is filled.
                let mut row = Vec::with_capacity(if self.rows.is_empty() { 2 } else { ROW });
                row.push(Slot::Taken(timer));
                self.rows.push(row);
            }
        }
        slot
    }

    fn slot_mut(&mut self, slot: u32) -> Option<&mut Slot<T>> {
        let slot = slot as usize;
        self.rows.get_mut(slot / ROW)?.get_mut(slot % ROW)
    }

    fn remove(&mut self, slot: u32) {
        let next = self.free;
        if let Some(taken @ Slot::Taken(_)) = self.slot_mut(slot) {
            *taken = Slot::Free(next);
            self.free = slot;
            self.taken -= 1;
        }
    }

    pub(super) fn into_iter(self) -> IntoIter<T> {
        self.rows.into_iter().flatten()
    }
}

impl<T> Slot<T> {
    pub(super) fn into_timer(self) -> Option<T> {
        match self {
            Self::Taken(timer) => Some(timer),
            Self::Free(_) => None,
        }
    }
}
