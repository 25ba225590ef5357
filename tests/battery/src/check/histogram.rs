//! Times by their size, to within some two percent.

use serde::Serialize;

/// Of each power of two so many parts.
const PARTS: u32 = 6;

/// How often which time was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    longest: u64,
}

/// Nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) median: u64,
    pub(crate) p99: u64,
    pub(crate) longest: u64,
}

impl Histogram {
    pub(crate) fn add(&mut self, time: u64) {
        let index = index_of(time);
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(index) {
            *count += 1;
        }
        self.count += 1;
        self.longest = self.longest.max(time);
    }

    pub(crate) fn summary(&self) -> Summary {
        Summary { count: self.count, median: self.at(50), p99: self.at(99), longest: self.longest }
    }

    /// What so many of a hundred are not longer than.
    fn at(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return longest_of(index).min(self.longest);
            }
        }
        self.longest
    }
}

fn index_of(time: u64) -> usize {
    let shift = (u64::BITS - time.leading_zeros()).saturating_sub(PARTS + 1);
    ((shift << PARTS) as usize) + (time >> shift) as usize
}

fn longest_of(index: usize) -> u64 {
    let parts = 1 << PARTS;
    let shift = (index / parts).saturating_sub(1) as u32;
    let part = (index - ((shift as usize) << PARTS)) as u64;
    ((part + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each time is in a part whose longest is not shorter, and at most a sixty-fourth longer.
    #[test]
    fn parts_are_narrow() {
        for time in (0..2_000).chain([12_345, 999_999, 1 << 40, (1 << 40) + 12_345_678]) {
            let longest = longest_of(index_of(time));
            assert!(longest >= time && longest - time <= time / 64 + 1, "{time} is in {longest}");
        }
    }

    #[test]
    fn median_and_p99() {
        let mut histogram = Histogram::default();
        (1..=1_000).for_each(|time| histogram.add(time * 1_000));
        let Summary { count, median, p99, longest } = histogram.summary();
        assert_eq!((count, longest), (1_000, 1_000_000));
        assert!((500_000..510_000).contains(&median) && (990_000..=1_000_000).contains(&p99), "{median} {p99}");
    }
}
