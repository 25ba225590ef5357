//! [`Places`]: what is due at one time.

/// One thing, or several in places that are given again.
#[derive(Debug)]
pub(super) enum Places<T> {
    /// In place 0. Most times have no more, unless locks are very many.
    One(T),
    Many(Box<Many<T>>),
}

#[derive(Debug)]
pub(super) struct Many<T> {
    places: Vec<Place<T>>,
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

pub(super) type IntoIter<T> = std::vec::IntoIter<Place<T>>;

impl<T> Places<T> {
    /// Takes a place.
    pub(super) fn add(&mut self, thing: T) -> u32 {
        if let Self::Many(many) = self {
            return many.add(thing);
        }
        let many = Box::new(Many { places: Vec::with_capacity(2), free: 0, taken: 0 });
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
            Self::Many(many) => many.places.len(),
        }
    }
}

impl<T> Many<T> {
    fn add(&mut self, thing: T) -> u32 {
        let place = self.free;
        self.taken += 1;
        if let Some(free) = self.places.get_mut(place as usize) {
            if let Place::Free(next) = std::mem::replace(free, Place::Taken(thing)) {
                self.free = next;
            }
            return place;
        }
        if self.places.len() == self.places.capacity() {
            // By a quarter, and not to twice as many: there may be very many in all.
            self.places.reserve_exact((self.places.len() / 4).max(2));
        }
        self.places.push(Place::Taken(thing));
        self.free = place.saturating_add(1);
        place
    }

    fn remove(&mut self, place: u32) {
        if let Some(taken @ Place::Taken(_)) = self.places.get_mut(place as usize) {
            *taken = Place::Free(self.free);
            self.free = place;
            self.taken -= 1;
        }
    }

    pub(super) fn into_iter(self) -> IntoIter<T> {
        self.places.into_iter()
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
