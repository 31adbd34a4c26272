//! The ways in which a schedule can be made smaller, each as a list of candidates, the smallest first.

use crate::schedule::{CutShape, Fault, Form, Habits, Knobs, Planned, Schedule, Victim, Weather};

/// Schedules that are smaller in one way.
pub(super) type Smaller = fn(&Schedule) -> Vec<Schedule>;

/// All ways, after that of taking faults away.
pub(super) const PASSES: &[(&str, Smaller)] = &[
    ("weather and habits", calmer),
    ("nodes", fewer_nodes),
    ("players", fewer_players),
    ("questions", fewer_questions),
    ("victims", fewer_victims),
    ("times", rounder),
];

fn calmer(of: &Schedule) -> Vec<Schedule> {
    let with = |change: &dyn Fn(&mut Schedule)| {
        let mut schedule = of.clone();
        change(&mut schedule);
        schedule
    };
    let calm_habits = Habits { hosts: 1, ..Habits::default() };
    let all = with(&|schedule| {
        *schedule = Schedule { faults: schedule.faults.clone(), ..schedule.calmed() };
    });
    let mut calmer = vec![
        all,
        with(&|schedule| schedule.weather = Weather::CALM),
        with(&|schedule| schedule.habits = calm_habits),
        with(&|schedule| schedule.skews_ms.clear()),
        with(&|schedule| schedule.knobs = Knobs::default()),
        with(&|schedule| schedule.let_go_after_ms = None),
        with(&|schedule| schedule.habits.flocking = false),
        with(&|schedule| schedule.weather.loss = 0.0),
        with(&|schedule| schedule.weather.duplication = 0.0),
        with(&|schedule| schedule.weather.reordering = 0.0),
        with(&|schedule| schedule.weather.corruption = 0.0),
        with(&|schedule| schedule.weather.bandwidth = 0),
        with(&|schedule| schedule.weather.mtu = Weather::CALM.mtu),
        with(&|schedule| {
            schedule.weather.delay_us = Weather::CALM.delay_us;
            schedule.weather.jitter_us = Weather::CALM.jitter_us;
        }),
        with(&|schedule| schedule.habits.roaming = 0.0),
        with(&|schedule| schedule.habits.twice = 0.0),
        with(&|schedule| schedule.habits.lying = 0.0),
        with(&|schedule| schedule.habits.flooding = 0.0),
        with(&|schedule| schedule.habits.hasty = false),
        with(&|schedule| schedule.habits.vanishes = None),
        // A show whose only host is gone stands for good, and that is no failure.
        with(&|schedule| (schedule.habits.hosts, schedule.habits.vanishes) = (1, None)),
        with(&|schedule| schedule.habits.ruling = false),
        with(&|schedule| schedule.questions.iter_mut().for_each(|it| it.form = Form::Choice)),
    ];
    calmer.retain(|schedule| schedule != of);
    calmer
}

/// Without one node, the last first; what names it goes with it, and the others move up.
fn fewer_nodes(of: &Schedule) -> Vec<Schedule> {
    let without = |gone: u8| {
        let faults = of.faults.iter().filter_map(|planned| {
            Some(Planned { fault: fault_without(&planned.fault, gone)?, ..planned.clone() })
        });
        let mut skews_ms = of.skews_ms.clone();
        if usize::from(gone) <= skews_ms.len() {
            skews_ms.remove(usize::from(gone) - 1);
        }
        Schedule { nodes: of.nodes - 1, skews_ms, faults: faults.collect(), ..of.clone() }
    };
    if of.nodes < 2 { Vec::new() } else { (1..=of.nodes).rev().map(without).collect() }
}

/// A node's new number; nothing for the one that is gone.
fn moved(node: u8, gone: u8) -> Option<u8> {
    match node.cmp(&gone) {
        std::cmp::Ordering::Less => Some(node),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(node - 1),
    }
}

fn fault_without(fault: &Fault, gone: u8) -> Option<Fault> {
    let moved = |node: u8| moved(node, gone);
    Some(match fault {
        Fault::Crash { victims, how, disk } => {
            let victim = |victim: &Victim| match victim {
                Victim::Node(node) => moved(*node).map(Victim::Node),
                Victim::HostsNode => Some(Victim::HostsNode),
            };
            let victims: Vec<Victim> = victims.iter().filter_map(victim).collect();
            (!victims.is_empty()).then_some(Fault::Crash { victims, how: *how, disk: *disk })?
        }
        Fault::Pause { node } => Fault::Pause { node: moved(*node)? },
        Fault::Cut { shape } => Fault::Cut { shape: shape_without(shape, gone)? },
        Fault::Storm { one, other, weather } => {
            Fault::Storm { one: moved(*one)?, other: moved(*other)?, weather: *weather }
        }
        Fault::Clock { node, jump_ms } => Fault::Clock { node: moved(*node)?, jump_ms: *jump_ms },
        Fault::Drift { node, ppm } => Fault::Drift { node: moved(*node)?, ppm: *ppm },
        Fault::Disk { node, trouble } => Fault::Disk { node: moved(*node)?, trouble: *trouble },
        Fault::Join { node } => Fault::Join { node: moved(*node)? },
        Fault::Leave { node } => Fault::Leave { node: moved(*node)? },
        upgrade @ Fault::Upgrade { .. } => upgrade.clone(),
    })
}

fn shape_without(shape: &CutShape, gone: u8) -> Option<CutShape> {
    let moved = |node: u8| moved(node, gone);
    Some(match shape {
        CutShape::Alone(node) => CutShape::Alone(moved(*node)?),
        CutShape::Side(nodes) => {
            CutShape::Side(nodes.iter().filter_map(|node| moved(*node)).collect())
        }
        CutShape::OneWay(one, other) => CutShape::OneWay(moved(*one)?, moved(*other)?),
        CutShape::Pair(one, other) => CutShape::Pair(moved(*one)?, moved(*other)?),
        CutShape::Flapping { node, period_ms } => {
            CutShape::Flapping { node: moved(*node)?, period_ms: *period_ms }
        }
    })
}

fn fewer_players(of: &Schedule) -> Vec<Schedule> {
    let most = of.players;
    let mut counts = vec![1, 2, 3, 5, 10, most / 4, most / 2, most - most / 4, most - 1];
    counts.retain(|count| (1..most).contains(count));
    counts.sort_unstable();
    counts.dedup();
    counts.into_iter().map(|players| Schedule { players, ..of.clone() }).collect()
}

/// Without one question, the last first; what goes wrong in later ones goes wrong one earlier.
fn fewer_questions(of: &Schedule) -> Vec<Schedule> {
    let without = |gone: u32| {
        let mut schedule = of.clone();
        schedule.questions.remove(gone as usize - 1);
        schedule.faults.retain(|planned| planned.instance != gone);
        let moved = |instance: u32| if instance > gone { instance - 1 } else { instance };
        schedule.faults.iter_mut().for_each(|planned| planned.instance = moved(planned.instance));
        schedule.habits.vanishes = schedule.habits.vanishes.filter(|at| *at != gone).map(moved);
        schedule
    };
    let count = of.questions.len() as u32;
    if count < 2 { Vec::new() } else { (1..=count).rev().map(without).collect() }
}

fn fewer_victims(of: &Schedule) -> Vec<Schedule> {
    let mut smaller = Vec::new();
    for (at, planned) in of.faults.iter().enumerate() {
        let Fault::Crash { victims, how, disk } = &planned.fault else { continue };
        for gone in 0..if victims.len() > 1 { victims.len() } else { 0 } {
            let mut victims = victims.clone();
            victims.remove(gone);
            let mut schedule = of.clone();
            schedule.faults[at].fault = Fault::Crash { victims, how: *how, disk: *disk };
            smaller.push(schedule);
        }
    }
    smaller
}

/// Times of one digit are easier to think about.
fn rounder(of: &Schedule) -> Vec<Schedule> {
    let mut smaller = Vec::new();
    for (at, planned) in of.faults.iter().enumerate() {
        let mut with = |after_ms: u64, lasts_ms: u64| {
            if (after_ms, lasts_ms) != (planned.after_ms, planned.lasts_ms) {
                let mut schedule = of.clone();
                (schedule.faults[at].after_ms, schedule.faults[at].lasts_ms) = (after_ms, lasts_ms);
                smaller.push(schedule);
            }
        };
        with(0, planned.lasts_ms);
        with(round(planned.after_ms), planned.lasts_ms);
        with(planned.after_ms, round(planned.lasts_ms));
    }
    smaller
}

/// Down to its first digit.
fn round(ms: u64) -> u64 {
    let unit = 10_u64.pow(ms.checked_ilog10().unwrap_or_default());
    ms / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Wanted;

    fn drawn() -> impl Iterator<Item = Schedule> {
        (0..60).map(|seed| Schedule::draw(seed, Wanted::default()))
    }

    #[test]
    fn everything_smaller_can_be_run() {
        let mut tried = 0;
        for schedule in drawn() {
            for (pass, smaller) in PASSES {
                for candidate in smaller(&schedule) {
                    // A node that joins keeps the cluster's numbers closed, or is refused.
                    let checked = candidate.check();
                    assert!(checked.is_ok(), "{pass}: {checked:?}\n{candidate}");
                    assert_ne!(candidate, schedule, "{pass}");
                    tried += 1;
                }
            }
        }
        assert!(tried > 1_000, "{tried}");
    }

    #[test]
    fn every_way_ends() {
        for mut schedule in drawn() {
            for (pass, smaller) in PASSES {
                for step in 0.. {
                    assert!(step < 200, "{pass} goes on for ever");
                    let Some(next) = smaller(&schedule).into_iter().next() else { break };
                    schedule = next;
                }
            }
            assert_eq!((schedule.nodes, schedule.players), (1, 1));
            assert_eq!(schedule.questions.len(), 1);
        }
    }

    #[test]
    fn a_node_that_goes_takes_its_faults_along() {
        let cut = Fault::Cut { shape: CutShape::OneWay(1, 3) };
        assert_eq!(fault_without(&cut, 3), None);
        let moved = Fault::Cut { shape: CutShape::OneWay(1, 2) };
        assert_eq!(fault_without(&cut, 2), Some(moved));
    }
}
