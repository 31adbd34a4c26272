//! What an entry says of named things, each kind in a frame of its own.

use super::flags::FlagOp;
use super::people::PlayerChange;
use super::registers::MultiValueOp;
use super::trail::Note;
use super::{Award, caps_hold};
use crate::caps;
use crate::delta::DecodeError;
use crate::id::{Lamport, Origin};
use serde::{Deserialize, Serialize};

/// A change of a flag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlagChange {
    /// Which flag.
    pub name: String,
    /// What happens to it.
    pub op: FlagOp,
}

/// A toggle is switched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToggleChange {
    /// Which toggle.
    pub name: String,
    /// How often it has been switched now.
    pub length: u32,
}

/// A change of a counter that goes both ways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountChange {
    /// Which counter.
    pub name: String,
    /// The writer's running total in that direction, so that a repetition counts once.
    pub total: u64,
    /// Whether it counts up.
    pub up: bool,
}

/// A change of a counter that only grows, of a maximum or of a minimum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberChange {
    /// Which.
    pub name: String,
    /// The writer's running total, or what was observed.
    pub value: u64,
}

/// A change of a set with removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetChange {
    /// Which set.
    pub name: String,
    /// Who or what.
    pub member: String,
    /// Whether it is added or removed.
    pub op: FlagOp,
}

/// A write to a register.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterChange {
    /// Order hint of the writer.
    pub lamport: Lamport,
    /// Which register.
    pub name: String,
    /// What is written.
    pub value: String,
}

/// A write to a register that keeps conflicts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MultiChange {
    /// Which register.
    pub name: String,
    /// What is written over what.
    pub op: MultiValueOp,
}

/// Points beyond those of answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwardChange {
    /// What for.
    pub name: String,
    /// The award.
    pub award: Award,
}

macro_rules! changes {
    ($($(#[$doc:meta])* $kind:literal $variant:ident($content:ty),)*) => {
        /// One change of what an event names.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum Change {
            $($(#[$doc])* $variant($content),)*
        }

        impl Change {
            /// The frame's kind; all belong to the control lane.
            #[must_use]
            pub fn kind(&self) -> u32 {
                match self {
                    $(Change::$variant(_) => $kind,)*
                }
            }

            pub(crate) fn payload(&self) -> postcard::Result<Vec<u8>> {
                match self {
                    $(Change::$variant(content) => postcard::to_stdvec(content),)*
                }
            }

            /// Reads a payload; nothing if the kind is not one of these.
            pub(crate) fn read(kind: u32, payload: &[u8]) -> Option<Result<Self, DecodeError>> {
                match kind {
                    $($kind => Some(crate::delta::whole(payload).map(Change::$variant)),)*
                    _ => None,
                }
            }
        }
    };
}

changes! {
    /// A flag that a concurrent enabling wins.
    6 Flag(FlagChange),
    /// A counter that goes both ways.
    7 Count(CountChange),
    /// A set with removal.
    8 Member(SetChange),
    /// A register that the last write holds.
    9 Setting(RegisterChange),
    /// A flag that a concurrent disabling wins.
    16 Permit(FlagChange),
    /// A flag that is switched to and fro.
    17 Toggle(ToggleChange),
    /// A counter that only grows.
    18 Total(NumberChange),
    /// A register that the first write holds.
    19 First(RegisterChange),
    /// A register that keeps conflicts.
    20 Multi(MultiChange),
    /// A maximum.
    21 Most(NumberChange),
    /// A minimum.
    22 Least(NumberChange),
    /// A set that only grows.
    23 Award(AwardChange),
    /// What hosts say of a player.
    24 Player(PlayerChange),
    /// A line of the audit trail.
    25 Note(Note),
}

impl Change {
    /// The order hint that it brings, if any.
    #[must_use]
    pub fn lamport(&self) -> Option<Lamport> {
        match self {
            Change::Setting(write) | Change::First(write) => Some(write.lamport),
            Change::Player(change) => change.mark.lamport(),
            Change::Note(note) => Some(note.lamport),
            _ => None,
        }
    }

    /// Whether it keeps every cap, whoever wrote it.
    #[must_use]
    pub fn is_within_caps(&self) -> bool {
        let fits = |text: &str| text.len() <= caps::VALUE_BYTES_MAX;
        let content = match self {
            Change::Member(change) => !change.member.is_empty() && fits(&change.member),
            Change::Setting(write) | Change::First(write) => fits(&write.value),
            Change::Multi(change) => change.op.put.as_ref().is_none_or(|(_, text)| fits(text)),
            Change::Award(change) => caps_hold(&change.award),
            Change::Player(change) => change.mark.is_within_caps(),
            Change::Note(note) => note.is_within_caps(),
            _ => true,
        };
        let named =
            self.name().is_none_or(|name| !name.is_empty() && name.len() <= caps::KEY_BYTES_MAX);
        content && named && self.lamport().is_none_or(|lamport| lamport <= caps::LAMPORT_MAX)
    }

    /// Whether `origin` can have written it: nobody writes under another's name.
    #[must_use]
    pub fn is_by(&self, origin: Origin) -> bool {
        use super::people::PlayerMark::Kicked;
        match self {
            Change::Flag(change) | Change::Permit(change) => change.op.is_possible(origin),
            Change::Member(change) => change.op.is_possible(origin),
            Change::Multi(change) => change.op.is_possible(origin),
            Change::Player(PlayerChange { mark: Kicked(op), .. }) => op.is_possible(origin),
            _ => true,
        }
    }

    fn name(&self) -> Option<&str> {
        match self {
            Change::Flag(change) | Change::Permit(change) => Some(&change.name),
            Change::Count(change) => Some(&change.name),
            Change::Member(change) => Some(&change.name),
            Change::Setting(write) | Change::First(write) => Some(&write.name),
            Change::Toggle(change) => Some(&change.name),
            Change::Total(change) | Change::Most(change) | Change::Least(change) => {
                Some(&change.name)
            }
            Change::Multi(change) => Some(&change.name),
            Change::Award(change) => Some(&change.name),
            Change::Player(_) | Change::Note(_) => None,
        }
    }
}
