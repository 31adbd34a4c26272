//! Commands that state a fact about the show or about one player: they need no stage, and saying the same
//! again changes nothing.
//!
//! Each becomes one entry: the change, and the note of the audit trail that says who made it. What is beyond
//! a cap, or makes no sense, is refused before anything is written.

use super::core::EventCore;
use super::names::check_form;
use super::trail::DIRECTOR;
use crate::service::view::{Command, CommandRequest, HOST, Refusal};
use crdt_state::caps;
use crdt_state::delta::Delta;
use crdt_state::name::find_unruly;
use crdt_state::named::{
    ANNOUNCEMENT, Award, AwardChange, CO_HOSTS, CURTAIN, Change, EnableWins, FlagChange, GrowOnly,
    LOBBY_LOCK, MultiChange, NAME_FILTER, OWNER, PLAYERS_MAX, PlayerChange, PlayerMark, REACTIONS,
    RegisterChange, SHOW_NAMES, SOUND, SetChange, TITLE, ToggleChange,
};
use crdt_state::{Mono, PlayerId, name};

/// Co-hosts of one event: arbitrary, more than any crew has.
const CO_HOSTS_MAX: usize = 64;

/// What a fact changes, and how the audit trail tells it; nothing where things are so already.
type Fact = Result<Option<(Change, String)>, Refusal>;

impl EventCore {
    /// Carries out a command that states a fact.
    pub(super) fn state_fact(&mut self, now: Mono, ticket: u64, request: &CommandRequest) {
        match self.check_trail().and_then(|()| self.fact(request)) {
            Err(refusal) => self.refuse(ticket, refusal),
            Ok(None) => self.told_already(now, ticket, self.stage()),
            Ok(Some((change, of))) => {
                let told = (of, self.stage());
                self.write_noted(now, ticket, request, told, vec![Delta::Named(change)]);
            }
        }
    }

    fn fact(&self, request: &CommandRequest) -> Fact {
        match request.command {
            Command::Lock => Ok(self.flag(true)),
            Command::Unlock => Ok(self.flag(false)),
            Command::Allow => self.permit(request, true),
            Command::Deny => self.permit(request, false),
            Command::Curtain => Ok(self.toggle(true)),
            Command::Uncurtain => Ok(self.toggle(false)),
            Command::Set => self.set(request),
            Command::Own => self.own(request),
            Command::Takeover => self.take_over(request),
            Command::Announce => self.announce(request),
            Command::Invite => self.invite(request),
            Command::Dismiss => self.dismiss(request),
            _ => self.mark(request),
        }
    }

    fn flag(&self, on: bool) -> Option<(Change, String)> {
        let flag = self.state().named.flags.get(LOBBY_LOCK).cloned().unwrap_or_default();
        let op = flag.set(self.identity.origin, on)?;
        Some((Change::Flag(FlagChange { name: LOBBY_LOCK.to_owned(), op }), String::new()))
    }

    fn permit(&self, request: &CommandRequest, on: bool) -> Fact {
        let name = text_of(request.name.as_deref(), "name", caps::KEY_BYTES_MAX)?;
        one_of(&name, &[REACTIONS, SOUND])?;
        let flag = self.state().named.permits.get(&name).cloned().unwrap_or_default();
        let op = flag.set(self.identity.origin, on);
        Ok(op.map(|op| (Change::Permit(FlagChange { name: name.clone(), op }), name)))
    }

    fn toggle(&self, on: bool) -> Option<(Change, String)> {
        let toggle = self.state().named.toggles.get(CURTAIN).copied().unwrap_or_default();
        let length = toggle.set(on)?;
        let name = CURTAIN.to_owned();
        Some((Change::Toggle(ToggleChange { name, length }), String::new()))
    }

    fn set(&self, request: &CommandRequest) -> Fact {
        let name = text_of(request.name.as_deref(), "name", caps::KEY_BYTES_MAX)?;
        let value = text_of(request.text.as_deref(), "text", caps::VALUE_BYTES_MAX)?;
        check_setting(&name, &value)?;
        if self.state().named.setting(&name) == Some(&value) {
            return Ok(None);
        }
        let (lamport, of) = (self.state().next_lamport(), format!("{name} = {value}"));
        Ok(Some((Change::Setting(RegisterChange { lamport, name, value }), of)))
    }

    /// The first who says so owns the show; anybody else is told who it is.
    fn own(&self, request: &CommandRequest) -> Fact {
        let value = text_of(request.text.as_deref(), "text", caps::NAME_BYTES_MAX)?;
        match self.show_owner() {
            Some(owner) if owner == value.as_str() => Ok(None),
            Some(owner) => {
                Err(Refusal::new("not_possible", format!("the show is owned by {owner:?}"))
                    .hint("`takeover` makes it yours"))
            }
            None => {
                let (lamport, name) = (self.state().next_lamport(), OWNER.to_owned());
                let of = value.clone();
                Ok(Some((Change::First(RegisterChange { lamport, name, value }), of)))
            }
        }
    }

    /// The last who takes the show over has it. Who may is judged where the token is known.
    fn take_over(&self, request: &CommandRequest) -> Fact {
        let value = text_of(request.text.as_deref(), "text", caps::NAME_BYTES_MAX)?;
        let before = self.show_owner();
        if before == Some(value.as_str()) {
            return Ok(None);
        }
        let (lamport, name) = (self.state().next_lamport(), OWNER.to_owned());
        let of = format!("{value}, from {}", before.unwrap_or("nobody"));
        Ok(Some((Change::Setting(RegisterChange { lamport, name, value }), of)))
    }

    /// Whose show it is: the last one's who took it over, or else the first one's who said so.
    pub(super) fn show_owner(&self) -> Option<&str> {
        let named = &self.state().named;
        let first = || named.firsts.get(OWNER).and_then(|first| first.get()).map(String::as_str);
        named.setting(OWNER).or_else(first)
    }

    /// Replaces every announcement that is seen here; one made elsewhere at the same time stays beside it.
    fn announce(&self, request: &CommandRequest) -> Fact {
        let text = text_at_most(request.text.as_deref().unwrap_or(""), caps::VALUE_BYTES_MAX)?;
        let register = self.state().named.multis.get(ANNOUNCEMENT).cloned().unwrap_or_default();
        let standing: Vec<&String> = register.values().collect();
        let is_so = match &standing[..] {
            [] => text.is_empty(),
            [one] => **one == text,
            _ => false,
        };
        if is_so {
            return Ok(None);
        }
        let origin = self.identity.origin;
        let op =
            if text.is_empty() { register.erase() } else { register.write(origin, text.clone()) };
        Ok(Some((Change::Multi(MultiChange { name: ANNOUNCEMENT.to_owned(), op }), text)))
    }

    /// Makes a co-host. The member is new for every invitation, so that a token that was revoked once
    /// stays revoked.
    fn invite(&self, request: &CommandRequest) -> Fact {
        let name = text_of(request.name.as_deref(), "name", caps::NAME_BYTES_MAX)?;
        let name = self.check_name(&name, None)?;
        if [HOST, DIRECTOR].contains(&name.as_str()) {
            let message = format!("{name:?} is what the audit trail calls somebody else");
            return Err(invalid("name_taken", message));
        }
        if self.co_host_of(&name).is_some() {
            return Ok(None);
        }
        let is_full = |set: &crdt_state::named::Members| set.is_full();
        if self.state().named.members(CO_HOSTS).count() >= CO_HOSTS_MAX
            || self.state().named.sets.get(CO_HOSTS).is_some_and(is_full)
        {
            return Err(limit(format!("an event has at most {CO_HOSTS_MAX} co-hosts")));
        }
        let origin = self.identity.origin;
        let member = format!("{:012x}-{origin} {name}", self.state().next_lamport());
        let op = EnableWins::default().set(origin, true).expect("a new flag is off");
        let set = CO_HOSTS.to_owned();
        Ok(Some((Change::Member(SetChange { name: set, member, op }), name)))
    }

    fn dismiss(&self, request: &CommandRequest) -> Fact {
        let name = text_of(request.name.as_deref(), "name", caps::NAME_BYTES_MAX)?;
        let set = self.state().named.sets.get(CO_HOSTS);
        let Some((set, member)) = set.zip(self.co_host_of(&name)) else { return Ok(None) };
        let op = set.get(&member).and_then(|flag| flag.set(self.identity.origin, false));
        let change = |op| Change::Member(SetChange { name: CO_HOSTS.to_owned(), member, op });
        Ok(op.map(|op| (change(op), name)))
    }

    /// The member that stands for a co-host's name, however its blanks are typed.
    #[must_use]
    pub fn co_host_of(&self, name: &str) -> Option<String> {
        let name = name::check_name(name).ok()?;
        let mut members = self.state().named.members(CO_HOSTS);
        members.find(|member| co_host_name(member) == name).map(str::to_owned)
    }

    /// The name of a co-host who has not been dismissed.
    #[must_use]
    pub fn co_host(&self, member: &str) -> Option<String> {
        let mut members = self.state().named.members(CO_HOSTS);
        members.find(|known| *known == member).map(|known| co_host_name(known).to_owned())
    }

    fn mark(&self, request: &CommandRequest) -> Fact {
        let player = request.player.ok_or_else(|| missing("player"))?;
        let shown = self.state().shown_name(player).ok_or_else(|| {
            Refusal::new("player_unknown", format!("player {player} has not joined"))
        })?;
        let people = &self.state().named.people;
        let origin = self.identity.origin;
        let lamport = self.state().next_lamport();
        let (mark, detail) = match request.command {
            Command::Kick => (people.kick(origin, player, true), String::new()),
            Command::Unkick => (people.kick(origin, player, false), String::new()),
            Command::Mute => (people.mute(player, true), String::new()),
            Command::Unmute => (people.mute(player, false), String::new()),
            Command::Grant => {
                let ms = check_extra(request.ms)?;
                let is_so = people.extra_ms(player) == ms;
                ((!is_so).then_some(PlayerMark::ExtraMs(lamport, ms)), format!(": {ms} ms"))
            }
            Command::Rename => {
                let name = self.check_rename(player, request.text.as_deref())?;
                let is_so = shown == name;
                let detail = format!(" is now {name}");
                ((!is_so).then_some(PlayerMark::Name(lamport, name)), detail)
            }
            _ => return self.award(request, player, &shown),
        };
        if mark.is_some() && people.is_full() {
            return Err(limit("as many players are marked as can be".to_owned()));
        }
        let change = |mark| Change::Player(PlayerChange { player, mark });
        Ok(mark.map(|mark| (change(mark), format!("{shown} ({player}){detail}"))))
    }

    fn check_rename(&self, player: PlayerId, text: Option<&str>) -> Result<String, Refusal> {
        let name = text_of(text, "text", caps::NAME_BYTES_MAX)?;
        // A host says what is shown, the filter does not.
        let name = check_form(&name)?;
        if self.state().is_name_taken(&name, player) {
            return Err(invalid("name_taken", format!("the name {name:?} is taken")));
        }
        Ok(name)
    }

    /// An award bears an id that its page made up: sent again, to whatever node, it is the same award.
    fn award(&self, request: &CommandRequest, player: PlayerId, shown: &str) -> Fact {
        let id = text_of(request.id.as_deref(), "id", caps::KEY_BYTES_MAX)?;
        let name = text_of(request.text.as_deref(), "text", caps::KEY_BYTES_MAX)?;
        let points = request.points.ok_or_else(|| missing("points"))?;
        if points == 0 || points.unsigned_abs() > caps::AWARD_POINTS_MAX.unsigned_abs() {
            let most = caps::AWARD_POINTS_MAX;
            let message = format!("{points} points: an award gives or takes 1 to {most}");
            return Err(invalid("value_invalid", message));
        }
        let awards = &self.state().named.awards;
        let held = awards.get(&name);
        let of = format!("{points:+} to {shown} ({player}) for {name}");
        let award = Award { id, player, points };
        if held.is_some_and(|held| held.contains(&award)) {
            return Ok(None);
        }
        let mut given =
            awards.iter().flat_map(|(text, awards)| awards.iter().map(move |one| (text, one)));
        if let Some((text, other)) = given.find(|(_, other)| other.id == award.id) {
            let (id, points) = (&other.id, other.points);
            let message = format!(
                "the id {id:?} is of another award, {points:+} for {text}: make up another id"
            );
            return Err(invalid("value_invalid", message));
        }
        if held.map_or(awards.is_full(), GrowOnly::is_full) {
            return Err(limit("as many awards are given as can be".to_owned()));
        }
        Ok(Some((Change::Award(AwardChange { name, award }), of)))
    }
}

/// The name in a member of the set of co-hosts.
#[must_use]
pub fn co_host_name(member: &str) -> &str {
    member.split_once(' ').map_or(member, |(_, name)| name)
}

fn check_setting(name: &str, value: &str) -> Result<(), Refusal> {
    one_of(name, &[TITLE, SHOW_NAMES, NAME_FILTER, PLAYERS_MAX])?;
    let is_valid = match name {
        SHOW_NAMES | NAME_FILTER => matches!(value, "on" | "off"),
        PLAYERS_MAX => value.parse::<u64>().is_ok_and(|most| most > 0),
        _ => value.len() <= 200,
    };
    if is_valid {
        return Ok(());
    }
    let message = format!("the setting {name} cannot be {value:?}");
    Err(invalid("value_invalid", message).hint(
        "title: at most 200 bytes; show_names and name_filter: on or off; players_max: from 1",
    ))
}

fn check_extra(ms: Option<u32>) -> Result<u32, Refusal> {
    let ms = ms.ok_or_else(|| missing("ms"))?;
    if ms <= caps::EXTRA_MS_MAX {
        return Ok(ms);
    }
    let most = caps::EXTRA_MS_MAX;
    Err(invalid("value_invalid", format!("{ms} ms of extra time, at most {most} are possible")))
}

fn one_of(name: &str, known: &[&str]) -> Result<(), Refusal> {
    if known.contains(&name) {
        return Ok(());
    }
    let refusal = invalid("name_unknown", format!("there is nothing named {name:?} to change so"));
    Err(refusal.hint(format!("known are {}", known.join(", "))))
}

/// A text that must be there.
fn text_of(text: Option<&str>, field: &str, bytes_max: usize) -> Result<String, Refusal> {
    let text = text_at_most(text.unwrap_or(""), bytes_max)?;
    if text.is_empty() { Err(missing(field)) } else { Ok(text) }
}

/// In one line, without anything that would do something to a terminal or to what is written around it.
fn text_at_most(text: &str, bytes_max: usize) -> Result<String, Refusal> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(unruly) = find_unruly(&text) {
        let message = format!("the text holds U+{:04X}, which cannot be shown", u32::from(unruly));
        return Err(invalid("text_control", message).hint("leave it out"));
    }
    if text.len() <= bytes_max {
        return Ok(text);
    }
    let message = format!("a text of {} bytes, at most {bytes_max} are possible", text.len());
    Err(invalid("value_invalid", message))
}

fn missing(field: &str) -> Refusal {
    invalid("value_missing", format!("this command needs {field:?}"))
}

fn invalid(code: &str, message: String) -> Refusal {
    Refusal::new(code, message)
}

fn limit(message: String) -> Refusal {
    Refusal::new("limit_reached", message)
}
