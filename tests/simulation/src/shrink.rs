//! [`shrink`]: the smallest plan that is found to fail in the same way.

use simulation::fleet::{Plan, run};
use simulation::history::Property;
use simulation::scripts::Scripts;

/// How many runs it takes at most.
const MOST_RUNS: usize = 600;

/// Leaves out processes, tasks, faults and operations, as long as the same property is violated. Returns how many runs it
/// took as well.
pub(crate) fn shrink(plan: &Plan, property: Property, scripts: &Scripts) -> (Plan, usize) {
    let (mut smallest, mut runs) = (plan.clone(), 0);
    let mut fails = |plan: &Plan| {
        runs += 1;
        let outcome = run(plan, scripts, false);
        runs <= MOST_RUNS && outcome.violations.first().is_some_and(|violation| violation.property == property)
    };
    loop {
        let before = size(&smallest);
        for process in (0..smallest.processes.len()).rev() {
            attempt(&mut smallest, &mut fails, |plan| remove(plan.processes.get_mut(process).map(|of| &mut of.tasks)));
        }
        for fault in (0..smallest.faults.len()).rev() {
            attempt(&mut smallest, &mut fails, |plan| {
                if fault < plan.faults.len() {
                    plan.faults.remove(fault);
                }
            });
        }
        for process in 0..smallest.processes.len() {
            let tasks = smallest.processes.get(process).map_or(0, |of| of.tasks.len());
            for task in (0..tasks).rev() {
                attempt(&mut smallest, &mut fails, |plan| {
                    remove(plan.processes.get_mut(process).and_then(|of| of.tasks.get_mut(task)));
                });
                let operations = smallest.processes.get(process).and_then(|of| of.tasks.get(task)).map_or(0, Vec::len);
                for operation in (0..operations).rev() {
                    attempt(&mut smallest, &mut fails, |plan| {
                        if let Some(of) = plan.processes.get_mut(process).and_then(|of| of.tasks.get_mut(task))
                            && operation < of.len()
                        {
                            of.remove(operation);
                        }
                    });
                }
            }
        }
        if size(&smallest) == before {
            return (smallest, runs);
        }
    }
}

fn attempt(smallest: &mut Plan, fails: &mut impl FnMut(&Plan) -> bool, change: impl FnOnce(&mut Plan)) {
    let mut smaller = smallest.clone();
    change(&mut smaller);
    if size(&smaller) < size(smallest) && fails(&smaller) {
        *smallest = smaller;
    }
}

/// Leaves out what a process or a task does, and keeps the numbers of the others.
fn remove<T>(all: Option<&mut Vec<T>>) {
    if let Some(all) = all {
        all.clear();
    }
}

fn size(plan: &Plan) -> (usize, usize, usize) {
    (plan.operations(), plan.faults.len(), plan.processes.iter().map(|of| of.tasks.len()).sum())
}
