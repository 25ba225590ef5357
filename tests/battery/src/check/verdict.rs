//! What was decided, as it is written down.

use serde::Serialize;

use super::statistics::Figures;

/// Findings of one property that are kept in words.
const KEPT: usize = 20;

/// The properties, in the order of [`Verdict::properties`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub(crate) enum Property {
    /// The lines make sense: an answer has a question.
    Lines,
    /// P1: fences are unique and rise.
    Fences,
    /// P2: two certain holds never overlap.
    Overlaps,
    /// P3: a store that refuses stale fences loses no update.
    Updates,
    /// P4: no process extends or releases another's lock.
    Owners,
    /// P5: nothing is left over.
    Leftovers,
    /// P6 within a process: first come, first served.
    Order,
    /// P6 between processes: no waiter is overtaken more often than local hand-overs allow.
    Overtaking,
    /// P7: the layer.
    Layer,
    /// A general linearizability checker agrees, on samples.
    Linear,
}

impl Property {
    pub(crate) const ALL: [Self; 10] = [
        Self::Lines,
        Self::Fences,
        Self::Overlaps,
        Self::Updates,
        Self::Owners,
        Self::Leftovers,
        Self::Order,
        Self::Overtaking,
        Self::Layer,
        Self::Linear,
    ];
}

/// What was found of all properties, in all rounds so far.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Verdict {
    pub(crate) lines: Judged,
    pub(crate) fences: Judged,
    pub(crate) overlaps: Judged,
    pub(crate) updates: Judged,
    pub(crate) owners: Judged,
    pub(crate) leftovers: Judged,
    pub(crate) order: Judged,
    pub(crate) overtaking: Judged,
    pub(crate) layer: Judged,
    pub(crate) linear: Judged,
    /// Updates that were acknowledged and are not in the store. Without fencing there are some.
    pub(crate) lost_updates: u64,
    pub(crate) figures: Figures,
}

/// What was found of one property.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Judged {
    /// How many operations, or pairs of them, it was asked of.
    pub(crate) checked: u64,
    /// How often it did not hold where it has to.
    pub(crate) violations: u64,
    pub(crate) violated: Vec<Finding>,
    /// How often it did not hold where it does not have to: under a fault that breaks it.
    pub(crate) excused: u64,
    pub(crate) excuses: Vec<Finding>,
}

/// One case, in words, and the lines that it is made of.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Finding {
    pub(crate) what: String,
    /// `FILE:LINE` of each.
    pub(crate) lines: Vec<String>,
}

impl Verdict {
    /// Nothing was found that has to hold and does not.
    pub(crate) fn holds(&self) -> bool {
        Property::ALL.iter().all(|property| self.of(*property).violations == 0)
    }

    pub(crate) fn of(&self, property: Property) -> &Judged {
        match property {
            Property::Lines => &self.lines,
            Property::Fences => &self.fences,
            Property::Overlaps => &self.overlaps,
            Property::Updates => &self.updates,
            Property::Owners => &self.owners,
            Property::Leftovers => &self.leftovers,
            Property::Order => &self.order,
            Property::Overtaking => &self.overtaking,
            Property::Layer => &self.layer,
            Property::Linear => &self.linear,
        }
    }

    /// Properties of which the history says nothing.
    pub(crate) fn not_asked(&self) -> Vec<Property> {
        Property::ALL.into_iter().filter(|property| self.of(*property).checked == 0).collect()
    }
}

impl Judged {
    /// It does not hold, where it has to.
    pub(crate) fn violation(&mut self, finding: impl FnOnce() -> Finding) {
        self.violations += 1;
        if self.violated.len() < KEPT {
            self.violated.push(finding());
        }
    }

    /// It does not hold; which is excused, or a violation.
    pub(crate) fn found(&mut self, excused: bool, finding: impl FnOnce() -> Finding) {
        if !excused {
            return self.violation(finding);
        }
        self.excused += 1;
        if self.excuses.len() < KEPT {
            self.excuses.push(finding());
        }
    }
}
