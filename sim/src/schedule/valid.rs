//! Whether a schedule can be run: files are written by people, too.

use super::{CutShape, Fault, Form, QUESTIONS_MAX, Question, Schedule, Victim, Weather, word};

impl Schedule {
    /// # Errors
    /// Says why it cannot be run.
    pub(crate) fn check(&self) -> Result<(), String> {
        let wrong = [
            (self.nodes == 0 || self.nodes_ever() > 100, "there are 1 to 100 nodes"),
            (self.players == 0, "somebody plays"),
            (!(1..=QUESTIONS_MAX).contains(&self.questions.len()), "1 to 9 questions are asked"),
            (self.habits.hosts == 0, "somebody is the host"),
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
            if planned.instance as usize > self.questions.len() {
                return Err(format!("not a schedule: {planned}: there is no such question"));
            }
        }
        let script = node::show::parse(&self.show()).map_err(|why| format!("the show: {why:?}"))?;
        debug_assert_eq!(script.questions.len(), self.questions.len());
        Ok(())
    }

    fn joins_follow(&self) -> bool {
        let joining = |planned: &super::Planned| match planned.fault {
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
        let is_upgrade = |planned: &&super::Planned| matches!(planned.fault, Fault::Upgrade { .. });
        self.faults.iter().filter(is_upgrade).count()
    }

    fn has_shares(&self) -> bool {
        let storms = self.faults.iter().filter_map(|planned| match &planned.fault {
            Fault::Storm { weather, .. } => Some(weather),
            _ => None,
        });
        let chances = |weather: &Weather| {
            let Weather { loss, duplication, reordering, corruption, .. } = *weather;
            [loss, duplication, reordering, corruption]
        };
        let habits =
            [self.habits.roaming, self.habits.twice, self.habits.lying, self.habits.flooding];
        let weathers = storms.chain([&self.weather]).flat_map(chances);
        weathers.chain(habits).all(|share| (0.0..=1.0).contains(&share))
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
    fn number(&self) -> Option<u8> {
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
    use crate::schedule::Planned;

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
        assert!(wrong(|s| s.players = 0).contains("somebody plays"));
        assert!(Schedule::from_json("{}").is_err());
    }
}
