//! Kinds of trouble, by the names under which people choose them.

use std::fmt;
use std::str::FromStr;

use super::{Fault, Habits, Schedule, Wanted, Weather};

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// Nodes go down and come back.
    Crash,
    /// A process is stopped for a while.
    Pause,
    /// Nodes do not hear each other.
    Cut,
    /// One link is bad.
    Storm,
    /// Wall clocks are off, and jump.
    Clock,
    /// A disk is full or slow.
    Disk,
    /// A node joins.
    Join,
    /// A node leaves for good.
    Leave,
    /// All nodes are upgraded while the show goes on.
    Upgrade,
    /// Packets are lost.
    Loss,
    /// Packets take longer, and not all as long.
    Delay,
    /// Packets arrive twice.
    Duplication,
    /// Packets are overtaken.
    Reordering,
    /// Packets arrive damaged.
    Corruption,
    /// Packets have to be small.
    Mtu,
    /// Links are slow.
    Bandwidth,
    /// Players move to other nodes.
    Roaming,
    /// Players answer again.
    Twice,
    /// Players lie.
    Lying,
    /// Players flood.
    Flooding,
    /// Two hosts at once, hasty ones, such as rule, and one who vanishes.
    Hosts,
    /// Replication keeps little, so that it needs snapshots.
    Memory,
    /// Nodes let go of the show while nobody wants it there, and come back to it.
    LetGo,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 23] = [
        Kind::Crash,
        Kind::Pause,
        Kind::Cut,
        Kind::Storm,
        Kind::Clock,
        Kind::Disk,
        Kind::Join,
        Kind::Leave,
        Kind::Upgrade,
        Kind::Loss,
        Kind::Delay,
        Kind::Duplication,
        Kind::Reordering,
        Kind::Corruption,
        Kind::Mtu,
        Kind::Bandwidth,
        Kind::Roaming,
        Kind::Twice,
        Kind::Lying,
        Kind::Flooding,
        Kind::Hosts,
        Kind::Memory,
        Kind::LetGo,
    ];

    /// Among how many nodes at least it happens: whoever leaves, leaves three; three carry a show however few want it;
    /// and one alone has no link to another.
    pub fn nodes_min(self) -> u8 {
        match self {
            Kind::Leave | Kind::LetGo => 4,
            Kind::Cut
            | Kind::Storm
            | Kind::Loss
            | Kind::Delay
            | Kind::Duplication
            | Kind::Reordering
            | Kind::Corruption
            | Kind::Mtu
            | Kind::Bandwidth
            | Kind::Memory => 2,
            _ => 1,
        }
    }

    /// Its name on a command line.
    pub fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// A set of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds(u32);

impl Kinds {
    /// Every kind.
    pub const ALL: Self = Self((1 << Kind::ALL.len()) - 1);
    /// No kind.
    pub const NONE: Self = Self(0);

    /// Whether a kind is in it.
    pub fn contains(self, kind: Kind) -> bool {
        self.0 >> kind as u8 & 1 == 1
    }

    /// Those that were named: whoever asks for all names none.
    pub(crate) fn named(self) -> Self {
        if self == Self::ALL { Self::NONE } else { self }
    }

    /// Those of them, by name, that do not happen among so few nodes.
    pub(crate) fn beyond(self, nodes: u8) -> Self {
        self.named().kinds().filter(|kind| kind.nodes_min() > nodes).collect()
    }

    /// Those of them, by name, that whoever lacks these has no part for.
    pub(crate) fn lacking(self, lacks: &[Kind]) -> Self {
        self.named().kinds().filter(|kind| lacks.contains(kind)).collect()
    }

    /// How many nodes the last of them takes.
    pub(crate) fn nodes_min(self) -> u8 {
        self.kinds().map(Kind::nodes_min).max().unwrap_or(1)
    }

    fn kinds(self) -> impl Iterator<Item = Kind> {
        Kind::ALL.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl FromIterator<Kind> for Kinds {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        kinds.into_iter().fold(Self::NONE, |Self(set), kind| Self(set | 1 << kind as u8))
    }
}

impl<const N: usize> From<[Kind; N]> for Kinds {
    fn from(kinds: [Kind; N]) -> Self {
        kinds.into_iter().collect()
    }
}

impl FromStr for Kinds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = |name: &str| Kind::ALL.into_iter().find(|kind| kind.name() == name);
        match text {
            "none" => Ok(Self::NONE),
            "all" => Ok(Self::ALL),
            names => names
                .split(',')
                .map(str::trim)
                .map(|name| known(name).ok_or(name))
                .collect::<Result<_, _>>()
                .map_err(|name| {
                    let names: Vec<String> = Kind::ALL.into_iter().map(Kind::name).collect();
                    format!(
                        "{name:?} is no kind of fault: expected none, all, or some of {}",
                        names.join(", ")
                    )
                }),
        }
    }
}

impl fmt::Display for Kinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ALL => f.write_str("all"),
            Self::NONE => f.write_str("none"),
            some => f.write_str(&some.kinds().map(Kind::name).collect::<Vec<_>>().join(",")),
        }
    }
}

impl Fault {
    /// What kind of trouble it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Crash { .. } => Kind::Crash,
            Self::Pause { .. } => Kind::Pause,
            Self::Cut { .. } => Kind::Cut,
            Self::Storm { .. } => Kind::Storm,
            Self::Clock { .. } | Self::Drift { .. } => Kind::Clock,
            Self::Disk { .. } => Kind::Disk,
            Self::Join { .. } => Kind::Join,
            Self::Leave { .. } => Kind::Leave,
            Self::Upgrade { .. } => Kind::Upgrade,
        }
    }
}

/// How many other seeds are asked for a kind that a seed has left out (arbitrary: each kind is in
/// one of some five seeds).
pub(super) const SEEDS_ASKED: u64 = 64;

impl Schedule {
    /// What a seed draws of these kinds. A kind that it leaves out is taken from a seed that has it.
    pub fn draw_of(seed: u64, wanted: Wanted, kinds: Kinds) -> Self {
        let mut schedule = Self::draw(seed, wanted);
        if kinds == Kinds::ALL {
            return schedule;
        }
        schedule.keep(kinds);
        let (nodes, players) = (Some(schedule.nodes), Some(schedule.players));
        let wanted = Wanted { nodes, players, ack: Some(schedule.ack) };
        for kind in kinds.kinds().filter(|kind| !schedule.has(*kind)).collect::<Vec<_>>() {
            let mut others = (1..=SEEDS_ASKED).map(|n| Self::draw(seed ^ n << 40, wanted));
            // What another seed draws for a question that this show does not have is no use here.
            let adopted = others.find_map(|other| {
                let mut adopted = schedule.clone();
                adopted.adopt(kind, &other);
                adopted.has(kind).then_some(adopted)
            });
            schedule = adopted.unwrap_or(schedule);
        }
        schedule
    }

    /// Takes away all trouble of other kinds.
    pub fn keep(&mut self, kinds: Kinds) {
        self.faults.retain(|planned| kinds.contains(planned.fault.kind()));
        let calm = self.calmed();
        for kind in Kind::ALL.into_iter().filter(|kind| !kinds.contains(*kind)) {
            self.adopt(kind, &calm);
        }
    }

    /// The same show with nothing wrong.
    pub(crate) fn calmed(&self) -> Self {
        Self {
            weather: Weather::CALM,
            skews_ms: Vec::new(),
            habits: Habits { hosts: 1, ..Habits::default() },
            knobs: super::Knobs::default(),
            let_go_after_ms: None,
            faults: Vec::new(),
            ..self.clone()
        }
    }

    /// Whether there is trouble of a kind.
    pub fn has(&self, kind: Kind) -> bool {
        let mut tried = self.calmed();
        tried.adopt(kind, self);
        tried != self.calmed()
    }

    /// Takes over what another schedule has of a kind.
    fn adopt(&mut self, kind: Kind, other: &Self) {
        let (weather, habits) = (&mut self.weather, &mut self.habits);
        match kind {
            Kind::Loss => weather.loss = other.weather.loss,
            Kind::Delay => {
                weather.delay_us = other.weather.delay_us;
                weather.jitter_us = other.weather.jitter_us;
            }
            Kind::Duplication => weather.duplication = other.weather.duplication,
            Kind::Reordering => weather.reordering = other.weather.reordering,
            Kind::Corruption => weather.corruption = other.weather.corruption,
            Kind::Mtu => weather.mtu = other.weather.mtu,
            Kind::Bandwidth => weather.bandwidth = other.weather.bandwidth,
            Kind::Roaming => habits.roaming = other.habits.roaming,
            Kind::Twice => habits.twice = other.habits.twice,
            Kind::Lying => habits.lying = other.habits.lying,
            Kind::Flooding => habits.flooding = other.habits.flooding,
            Kind::Hosts => {
                habits.hosts = other.habits.hosts;
                habits.hasty = other.habits.hasty;
                habits.ruling = other.habits.ruling;
                let asked = self.questions.len() as u32;
                habits.vanishes = other.habits.vanishes.filter(|at| *at <= asked);
            }
            Kind::Memory => self.knobs = other.knobs,
            Kind::LetGo => {
                habits.flocking = other.habits.flocking;
                self.let_go_after_ms = other.let_go_after_ms;
            }
            _ => self.adopt_faults(kind, other),
        }
    }

    fn adopt_faults(&mut self, kind: Kind, other: &Self) {
        if kind == Kind::Clock {
            self.skews_ms.clone_from(&other.skews_ms);
        }
        let asked = self.questions.len() as u32;
        let mine =
            |planned: &&super::Planned| planned.fault.kind() == kind && planned.instance <= asked;
        self.faults.extend(other.faults.iter().filter(mine).cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kinds in [Kinds::ALL, Kinds::NONE, Kinds::from([Kind::Loss, Kind::Crash])] {
            assert_eq!(kinds.to_string().parse(), Ok(kinds));
        }
        assert_eq!("crash,loss".parse::<Kinds>(), Ok([Kind::Crash, Kind::Loss].into()));
        let wrong = "crash,lost".parse::<Kinds>().unwrap_err();
        assert!(wrong.contains("\"lost\" is no kind of fault") && wrong.contains("crash, pause"));
    }

    #[test]
    fn only_what_is_chosen_goes_wrong_and_all_of_it_does() {
        let chosen = Kinds::from([Kind::Crash, Kind::Loss, Kind::Twice]);
        for seed in 0..50 {
            let schedule = Schedule::draw_of(seed, Wanted::default(), chosen);
            for kind in Kind::ALL {
                assert_eq!(schedule.has(kind), chosen.contains(kind), "{kind:?}: {schedule}");
            }
            assert_eq!(Schedule::from_json(&schedule.to_json()).as_ref(), Ok(&schedule));
        }
    }

    #[test]
    fn nothing_goes_wrong_where_nothing_is_chosen_and_all_stays_where_all_is() {
        let drawn = |kinds| Schedule::draw_of(7, Wanted::default(), kinds);
        assert_eq!(drawn(Kinds::NONE), drawn(Kinds::NONE).calmed());
        assert_eq!(drawn(Kinds::ALL), Schedule::draw(7, Wanted::default()));
    }
}
