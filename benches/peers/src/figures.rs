//! Medians, histograms of waits, and fairness.

use std::time::Duration;

/// Waits by their length, to a thirty-second part.
#[derive(Clone)]
pub(crate) struct Waits {
    counts: Vec<u32>,
    total: u64,
    longest: Duration,
}

/// Values up to this many nanoseconds have buckets of their own; each doubling after it has as many.
const FINE: u64 = 32;

impl Default for Waits {
    fn default() -> Self {
        Self { counts: vec![0; 40 * FINE as usize], total: 0, longest: Duration::ZERO }
    }
}

impl Waits {
    pub(crate) fn add(&mut self, wait: Duration) {
        let nanos = wait.as_nanos() as u64;
        if let Some(count) = self.counts.get_mut(bucket(nanos)) {
            *count += 1;
        }
        self.total += 1;
        self.longest = self.longest.max(wait);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    pub(crate) fn longest(&self) -> Duration {
        self.longest
    }

    /// The wait that a share of them, 0 to 1, does not pass.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut left = (self.total as f64 * share).ceil() as u64;
        for (at, &count) in self.counts.iter().enumerate() {
            left = left.saturating_sub(u64::from(count));
            if left == 0 {
                return Duration::from_nanos(upper_end(at)).min(self.longest);
            }
        }
        self.longest
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < FINE {
        return nanos as usize;
    }
    let doublings = u64::from(nanos.ilog2() - FINE.ilog2());
    (doublings * FINE + (nanos >> doublings)) as usize
}

fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * FINE {
        return bucket;
    }
    let doublings = bucket / FINE - 1;
    ((bucket - doublings * FINE + 1) << doublings) - 1
}

/// Zero for none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let at = |index: usize| sorted.get(index).copied().unwrap_or_default();
    if sorted.len() % 2 == 1 { at(middle) } else { f64::midpoint(at(middle.saturating_sub(1)), at(middle)) }
}

/// Half the way from the least to the greatest, as a share of the median.
pub(crate) fn spread(values: &[f64]) -> f64 {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(0.0, f64::max);
    let median = median(values.iter().copied());
    if median > 0.0 { (greatest - least) / 2.0 / median } else { 0.0 }
}

/// Jain's index: 1 if all have had the same, 1/n if one has had everything.
pub(crate) fn jain(shares: &[u64]) -> f64 {
    let sum: f64 = shares.iter().map(|&share| share as f64).sum();
    let squares: f64 = shares.iter().map(|&share| (share as f64).powi(2)).sum();
    if squares > 0.0 { sum * sum / (shares.len() as f64 * squares) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_at_most_a_thirty_second_part_too_long() {
        let mut waits = Waits::default();
        for micros in 1..=1000 {
            waits.add(Duration::from_micros(micros));
        }
        for (share, micros) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = waits.quantile(share).as_nanos() as f64 / 1e3;
            assert!(found >= micros && found <= micros * (1.0 + 1.0 / 32.0), "{share}: {found}");
        }
    }

    #[test]
    fn jain_tells_even_from_uneven() {
        assert!((jain(&[5, 5, 5]) - 1.0).abs() < 1e-9);
        assert!((jain(&[9, 0, 0]) - 1.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn medians() {
        assert!((median([3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median([4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }
}
