//! What changed in a feature since it was seen last, as events.

use super::derive::{Plan, Planner};

/// The plan of a scan: what was never told of, then each move, by id. A work package that nobody told of is taken for
/// planned, so the first scan tells of the feature, of its work packages, and of one move for each that is further.
pub fn scan(mut planner: Planner<'_>) -> Plan {
    let feature = planner.feature();
    if !planner.is_created(None) && feature.meta.is_some() {
        planner.tell_feature();
    }
    for (id, package) in feature.packages.iter().filter(|(id, _)| !planner.is_created(Some(id))).collect::<Vec<_>>() {
        planner.tell_package(id, package);
    }
    for (id, package) in &feature.packages {
        let before = planner.seen_lane(id);
        if before != package.lane {
            planner.tell_move(id, before, package.lane, package.agent.as_deref());
        }
    }
    planner.tell_oddities();
    planner.finish()
}
