//! Whether a schedule can be run: files are written by people, too. Bounds are far beyond what tells anything, and so
//! low that no clock overflows.

use super::{
    CutShape, Fault, Form, Planned, QUESTIONS_MAX, Question, Schedule, Victim, Weather, word,
};

/// The most that anything lasts or waits, in milliseconds: an hour, thirty times what a show takes.
const MS_MAX: u64 = 3_600_000;
/// The longest that a packet is under way, in microseconds: a minute.
const DELAY_US_MAX: u64 = 60_000_000;
/// The most that a wall clock is off, in milliseconds: ten years.
const SKEW_MS_MAX: u64 = 10 * 365 * 86_400_000;
/// The most that it drifts, in parts of a million: it runs twice as fast.
const DRIFT_PPM_MAX: u64 = 1_000_000;
/// So many play at most: ten times what is measured.
const PLAYERS_MAX: u32 = 100_000_000;
/// So many drive a show at once at most (arbitrary).
const HOSTS_MAX: u8 = 9;

impl Schedule {
    /// # Errors
    /// Says why it cannot be run.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = [
            (self.nodes == 0 || self.nodes_ever() > 100, "there are 1 to 100 nodes"),
            (!(1..=PLAYERS_MAX).contains(&self.players), "1 to 100 million people play"),
            (!(1..=QUESTIONS_MAX).contains(&self.questions.len()), "1 to 9 questions are asked"),
            (!(1..=HOSTS_MAX).contains(&self.habits.hosts), "there are 1 to 9 hosts"),
            (
                self.habits.vanishes.is_some() && self.habits.hosts < 2,
                "where the first host vanishes there is another one",
            ),
            (self.let_go_after_ms.is_some_and(|ms| ms > MS_MAX), "an hour is the longest time"),
            (!self.has_clocks(), "wall clocks are off by ten years at most"),
            (!self.has_delays(), "packets are under way for a minute at most"),
            (self.last_nodes().is_empty(), "a node stands at the end"),
            (!self.has_words(), "a typed question has words for its options"),
            (!self.joins_follow(), "nodes that join take the next free numbers"),
            (!self.has_shares(), "chances and shares are between 0 and 1"),
            (self.upgrades() > 1, "there is one upgrade at most"),
        ];
        if let Some((_, rule)) = wrong.iter().find(|(broken, _)| *broken) {
            return Err(format!("not a schedule: {rule}"));
        }
        let ever = 1..=self.nodes_ever();
        for planned in &self.faults {
            let nodes = planned.fault.nodes();
            if let Some(node) = nodes.iter().find(|node| !ever.contains(node)) {
                return Err(format!("not a schedule: {planned}: there is no node {node}"));
            }
            if let Some(rule) = planned.wrong() {
                return Err(format!("not a schedule: {planned}: {rule}"));
            }
            if planned.instance as usize > self.questions.len() {
                return Err(format!("not a schedule: {planned}: there is no such question"));
            }
        }
        let script = node::show::parse(&self.show()).map_err(|why| format!("the show: {why:?}"))?;
        debug_assert_eq!(script.questions.len(), self.questions.len());
        Ok(())
    }

    fn has_clocks(&self) -> bool {
        self.skews_ms.iter().all(|ms| ms.unsigned_abs() <= SKEW_MS_MAX)
    }

    fn has_delays(&self) -> bool {
        self.weathers()
            .all(|weather| weather.delay_us <= DELAY_US_MAX && weather.jitter_us <= DELAY_US_MAX)
    }

    /// The weather between all nodes, and that of each storm.
    fn weathers(&self) -> impl Iterator<Item = &Weather> {
        let storms = self.faults.iter().filter_map(|planned| match &planned.fault {
            Fault::Storm { weather, .. } => Some(weather),
            _ => None,
        });
        storms.chain([&self.weather])
    }

    fn joins_follow(&self) -> bool {
        let joining = |planned: &Planned| match planned.fault {
            Fault::Join { node } => Some(node),
            _ => None,
        };
        let mut joining: Vec<u8> = self.faults.iter().filter_map(joining).collect();
        joining.sort_unstable();
        joining.iter().copied().eq((self.nodes.saturating_add(1)..).take(joining.len()))
    }

    fn has_words(&self) -> bool {
        let typed = self.questions.iter().filter(|question| question.form == Form::Typed);
        let last = |question: &Question| question.options.checked_sub(1).and_then(word);
        typed.into_iter().all(|it| last(it).is_some() && it.correct < it.options)
    }

    fn upgrades(&self) -> usize {
        let is_upgrade = |planned: &&Planned| matches!(planned.fault, Fault::Upgrade { .. });
        self.faults.iter().filter(is_upgrade).count()
    }

    fn has_shares(&self) -> bool {
        let chances = |weather: &Weather| {
            let Weather { loss, duplication, reordering, corruption, .. } = *weather;
            [loss, duplication, reordering, corruption]
        };
        let habits =
            [self.habits.roaming, self.habits.twice, self.habits.lying, self.habits.flooding];
        self.weathers().flat_map(chances).chain(habits).all(|share| (0.0..=1.0).contains(&share))
    }
}

impl Planned {
    /// The rule that it breaks, if any.
    fn wrong(&self) -> Option<&'static str> {
        let lasts = |ms: u64| (ms > MS_MAX).then_some("an hour is the longest time");
        let apart = |one: u8, other: u8| (one == other).then_some("a node has no link to itself");
        let of_fault = match &self.fault {
            Fault::Storm { one, other, .. } => apart(*one, *other),
            Fault::Cut { shape: CutShape::OneWay(one, other) | CutShape::Pair(one, other) } => {
                apart(*one, *other)
            }
            Fault::Cut { shape: CutShape::Flapping { period_ms: 0, .. } } => {
                Some("a flapping cut has a period")
            }
            Fault::Cut { shape: CutShape::Flapping { period_ms, .. } } => lasts(*period_ms),
            Fault::Upgrade { every_ms, .. } => lasts(*every_ms),
            Fault::Clock { jump_ms, .. } => (jump_ms.unsigned_abs() > SKEW_MS_MAX)
                .then_some("wall clocks are off by ten years at most"),
            Fault::Drift { ppm, .. } => (ppm.unsigned_abs() > DRIFT_PPM_MAX)
                .then_some("wall clocks run twice as fast at most"),
            _ => None,
        };
        of_fault.or_else(|| lasts(self.after_ms)).or_else(|| lasts(self.lasts_ms))
    }
}

impl Fault {
    /// The nodes that it names.
    pub fn nodes(&self) -> Vec<u8> {
        match self {
            Self::Crash { victims, .. } => victims.iter().filter_map(Victim::number).collect(),
            Self::Cut { shape } => shape.nodes(),
            Self::Storm { one, other, .. } => vec![*one, *other],
            Self::Upgrade { .. } => Vec::new(),
            Self::Pause { node }
            | Self::Clock { node, .. }
            | Self::Drift { node, .. }
            | Self::Disk { node, .. }
            | Self::Join { node }
            | Self::Leave { node } => vec![*node],
        }
    }
}

impl Victim {
    pub(crate) fn number(&self) -> Option<u8> {
        match self {
            Self::Node(number) => Some(*number),
            Self::HostsNode => None,
        }
    }
}

impl CutShape {
    fn nodes(&self) -> Vec<u8> {
        match self {
            Self::Alone(node) | Self::Flapping { node, .. } => vec![*node],
            Self::Side(nodes) => nodes.clone(),
            Self::OneWay(one, other) | Self::Pair(one, other) => vec![*one, *other],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(spoil: impl FnOnce(&mut Schedule)) -> String {
        let mut schedule = Schedule::classic(1);
        spoil(&mut schedule);
        Schedule::from_json(&schedule.to_json()).unwrap_err()
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_a_reason() {
        let planned = |instance, fault| Planned { instance, after_ms: 0, lasts_ms: 1, fault };
        let said = wrong(|s| s.faults.push(planned(1, Fault::Pause { node: 4 })));
        assert!(said.contains("there is no node 4"), "{said}");
        let said = wrong(|s| s.faults.push(planned(9, Fault::Pause { node: 1 })));
        assert!(said.contains("no such question"), "{said}");
        let said = wrong(|s| s.faults.push(planned(1, Fault::Join { node: 9 })));
        assert!(said.contains("next free numbers"), "{said}");
        assert!(wrong(|s| s.weather.loss = 1.5).contains("between 0 and 1"));
        assert!(wrong(|s| s.players = 0).contains("people play"));
        assert!(wrong(|s| s.habits.vanishes = Some(1)).contains("there is another one"));
        let ages = "an hour is the longest";
        assert!(wrong(|s| s.let_go_after_ms = Some(u64::MAX)).contains(ages));
        assert!(wrong(|s| s.faults[0].after_ms = u64::MAX).contains(ages));
        assert!(wrong(|s| s.faults[0].lasts_ms = u64::MAX).contains(ages));
        assert!(wrong(|s| s.weather.jitter_us = u64::MAX).contains("a minute at most"));
        let cut = |shape| planned(1, Fault::Cut { shape });
        let flapping = |period_ms| cut(CutShape::Flapping { node: 1, period_ms });
        assert!(wrong(|s| s.faults.push(flapping(0))).contains("has a period"));
        assert!(wrong(|s| s.faults.push(flapping(u64::MAX))).contains(ages));
        assert!(wrong(|s| s.faults.push(cut(CutShape::Pair(2, 2)))).contains("link to itself"));
        let jump = planned(1, Fault::Clock { node: 1, jump_ms: i64::MIN });
        assert!(wrong(|s| s.faults.push(jump.clone())).contains("ten years"));
        assert!(Schedule::from_json("{}").is_err());
        let misspelt = Schedule::classic(1).to_json().replacen(
            "\"nodes\"",
            "\"let_go_after\": 1, \"nodes\"",
            1,
        );
        assert!(Schedule::from_json(&misspelt).unwrap_err().contains("unknown field"));
    }
}
