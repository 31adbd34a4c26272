//! Changes of every kind of named thing, as a writer makes them from what it sees.

use crdt_state::named::{
    Award, AwardChange, Change, CountChange, EnableWins, FlagChange, MultiChange, Named, Note,
    NumberChange, PlayerChange, PlayerMark, RegisterChange, SetChange, ToggleChange,
};
use crdt_state::{Lamport, Origin, PlayerId, Stage};

/// How many kinds of change [`pick`] knows.
pub const KINDS: u8 = 17;

/// Running totals of one writer, which it never forgets within its life.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    reactions: u64,
    up: u64,
    down: u64,
}

/// The change of a kind that a writer makes; nothing where things are so already.
pub fn pick(
    named: &Named,
    (origin, lamport): (Origin, Lamport),
    totals: &mut Totals,
    (kind, value): (u8, u8),
) -> Option<Change> {
    let on = value.is_multiple_of(2);
    let name = format!("n{}", value / 2 % 3);
    let player = PlayerId(u128::from(value % 8));
    let mark =
        |mark: Option<PlayerMark>| Some(Change::Player(PlayerChange { player, mark: mark? }));
    let text = value.to_string();
    Some(match kind % KINDS {
        0 => {
            let op = named.flags.get(&name).cloned().unwrap_or_default().set(origin, on)?;
            Change::Flag(FlagChange { name, op })
        }
        1 => {
            let op = named.permits.get(&name).cloned().unwrap_or_default().set(origin, on)?;
            Change::Permit(FlagChange { name, op })
        }
        2 => {
            let length = named.toggles.get(&name).copied().unwrap_or_default().set(on)?;
            Change::Toggle(ToggleChange { name, length })
        }
        3 => {
            totals.reactions += u64::from(value);
            let (name, value) = ("wow".to_owned(), totals.reactions);
            Change::Total(NumberChange { name, value })
        }
        4 => {
            let total = if on { &mut totals.up } else { &mut totals.down };
            *total += 1;
            Change::Count(CountChange { name: "mood".to_owned(), total: *total, up: on })
        }
        5 => {
            let award = Award { id: text, player, points: i32::from(value) - 100 };
            Change::Award(AwardChange { name, award })
        }
        6 => {
            let member = format!("m{}", value / 6);
            let none = EnableWins::default();
            let held = named.sets.get(&name).and_then(|set| set.get(&member)).unwrap_or(&none);
            let op = held.set(origin, on)?;
            Change::Member(SetChange { name, member, op })
        }
        7 => Change::Setting(RegisterChange { lamport, name, value: text }),
        8 => Change::First(RegisterChange { lamport, name, value: text }),
        9 => {
            let op = named.multis.get(&name).cloned().unwrap_or_default().write(origin, text);
            Change::Multi(MultiChange { name, op })
        }
        10 => Change::Most(NumberChange { name, value: value.into() }),
        11 => Change::Least(NumberChange { name, value: value.into() }),
        12 => mark(named.people.kick(origin, player, on))?,
        13 => mark(named.people.mute(player, on))?,
        14 => mark(Some(PlayerMark::ExtraMs(lamport, value.into())))?,
        15 => mark(Some(PlayerMark::Name(lamport, text)))?,
        _ => {
            let (by, act, of) = ("host".to_owned(), "note".to_owned(), text);
            Change::Note(Note { lamport, wall_ms: 7, by, act, of, stage: Stage::LOBBY })
        }
    })
}
