//! [`Several`]: none, one or several values, of which there is most often one.

/// Values in a row. One needs no allocation, since a process may keep very many rows.
#[derive(Debug, Default)]
pub(super) enum Several<T> {
    #[default]
    None,
    One(T),
    /// Two or more.
    #[expect(clippy::box_collection, reason = "a row is a part of what is kept by the hundred thousand")]
    Many(Box<Vec<T>>),
}

impl<T> Several<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(one) => std::slice::from_mut(one),
            Self::Many(many) => many,
        }
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, T> {
        self.as_slice().iter()
    }

    pub(super) fn iter_mut(&mut self) -> std::slice::IterMut<'_, T> {
        self.as_mut_slice().iter_mut()
    }

    pub(super) fn len(&self) -> usize {
        self.as_slice().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Adds a value at the end.
    pub(super) fn push(&mut self, value: T) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(value),
            Self::One(one) => Self::Many(Box::new(vec![one, value])),
            Self::Many(mut many) => {
                many.push(value);
                Self::Many(many)
            }
        };
    }

    /// Takes the first value out for which this is so.
    pub(super) fn take(&mut self, is: impl FnMut(&T) -> bool) -> Option<T> {
        let at = self.iter().position(is)?;
        let (taken, rest) = match std::mem::take(self) {
            Self::None => (None, Self::None),
            Self::One(one) => (Some(one), Self::None),
            Self::Many(mut many) => {
                let taken = (at < many.len()).then(|| many.remove(at));
                (taken, Self::of(*many))
            }
        };
        *self = rest;
        taken
    }

    /// Takes every value out for which this is so.
    pub(super) fn take_all(&mut self, mut is: impl FnMut(&T) -> bool) -> Vec<T> {
        match std::mem::take(self) {
            Self::None => Vec::new(),
            Self::One(one) if is(&one) => vec![one],
            Self::One(one) => {
                *self = Self::One(one);
                Vec::new()
            }
            Self::Many(many) => {
                let (taken, rest) = many.into_iter().partition(|value| is(value));
                *self = Self::of(rest);
                taken
            }
        }
    }

    fn of(mut values: Vec<T>) -> Self {
        match values.len() {
            0 => Self::None,
            1 => values.pop().map_or(Self::None, Self::One),
            _ => Self::Many(Box::new(values)),
        }
    }
}

impl<T> IntoIterator for Several<T> {
    type Item = T;
    type IntoIter = std::iter::Chain<std::option::IntoIter<T>, std::vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Self::None => (None, Vec::new()),
            Self::One(one) => (Some(one), Vec::new()),
            Self::Many(many) => (None, *many),
        };
        one.into_iter().chain(many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_and_go_in_their_order() {
        let mut several = Several::None;
        assert!(several.is_empty() && several.take(|_| true).is_none());
        (1..=4).for_each(|value| several.push(value));
        assert_eq!(several.take(|value| *value == 2), Some(2));
        assert_eq!(several.as_slice(), [1, 3, 4]);
        assert_eq!(several.take_all(|value| *value != 3), [1, 4]);
        assert!(matches!(several, Several::One(3)));
        several.iter_mut().for_each(|value| *value += 1);
        assert_eq!((several.len(), several.take_all(|_| false)), (1, Vec::new()));
        assert_eq!(several.take(|_| true), Some(4));
        assert!(several.is_empty());
    }
}
