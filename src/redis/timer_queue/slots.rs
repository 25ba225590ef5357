//! [`Places`]: what is due at one time.

/// One thing, or several in places that are given again.
#[derive(Debug)]
pub(super) enum Places<T> {
    /// In place 0. Most times have no more, unless locks are very many.
    One(T),
    Many(Box<Many<T>>),
}

/// Places in rows, of which none but the first is ever moved, and that while it is small: one list that is moved whenever
/// it has grown leaves holes behind, which an allocator can use for little else, and there may be very many things in all.
#[derive(Debug)]
pub(super) struct Many<T> {
    /// All but the last are of [`ROW`] places.
    rows: Vec<Vec<Place<T>>>,
    /// The free place that is taken next: the end, if there is none.
    free: u32,
    taken: u32,
}

/// A thing, or the free place that is taken after this one.
#[derive(Debug)]
pub(super) enum Place<T> {
    Taken(T),
    Free(u32),
}

/// Of half a kilobyte, with things of sixteen bytes.
const ROW: usize = 32;

pub(super) type IntoIter<T> = std::iter::Flatten<std::vec::IntoIter<Vec<Place<T>>>>;

impl<T> Places<T> {
    /// Takes a place.
    pub(super) fn add(&mut self, thing: T) -> u32 {
        if let Self::Many(many) = self {
            return many.add(thing);
        }
        let many = Box::new(Many { rows: Vec::new(), free: 0, taken: 0 });
        if let Self::One(first) = std::mem::replace(self, Self::Many(many))
            && let Self::Many(many) = self
        {
            many.add(first);
            return many.add(thing);
        }
        0
    }

    /// Gives a place back. `true` if nothing is left: then the whole is to be dropped.
    pub(super) fn remove(&mut self, place: u32) -> bool {
        match self {
            Self::One(_) => place == 0,
            Self::Many(many) => {
                many.remove(place);
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
    fn add(&mut self, thing: T) -> u32 {
        let place = self.free;
        self.taken += 1;
        if let Some(free) = self.place(place) {
            if let Place::Free(next) = std::mem::replace(free, Place::Taken(thing)) {
                self.free = next;
            }
            return place;
        }
        self.free = place.saturating_add(1);
        match self.rows.last_mut() {
            Some(last) if last.len() < ROW => last.push(Place::Taken(thing)),
            _ => {
                // The first may stay the only one, and short: it grows up to a row as it is filled.
                let mut row = Vec::with_capacity(if self.rows.is_empty() { 2 } else { ROW });
                row.push(Place::Taken(thing));
                self.rows.push(row);
            }
        }
        place
    }

    fn place(&mut self, place: u32) -> Option<&mut Place<T>> {
        let place = place as usize;
        self.rows.get_mut(place / ROW)?.get_mut(place % ROW)
    }

    fn remove(&mut self, place: u32) {
        let next = self.free;
        if let Some(taken @ Place::Taken(_)) = self.place(place) {
            *taken = Place::Free(next);
            self.free = place;
            self.taken -= 1;
        }
    }

    pub(super) fn into_iter(self) -> IntoIter<T> {
        self.rows.into_iter().flatten()
    }
}

impl<T> Place<T> {
    pub(super) fn taken(self) -> Option<T> {
        match self {
            Self::Taken(thing) => Some(thing),
            Self::Free(_) => None,
        }
    }
}
