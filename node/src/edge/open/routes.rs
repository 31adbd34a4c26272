//! Who wants what: filters, and the sessions behind each of them.
//!
//! Exact filters are looked up, filters with wildcards are tried one by one: there are few of them in a
//! broker of this size.

use crate::edge::filter::{InvalidFilter, check_filter, matches};
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

/// A filter as subscribed to: `$share/group/filter`, or the filter alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub(super) group: Option<&'a str>,
    pub(super) filter: &'a str,
}

impl<'a> Wanted<'a> {
    /// Reads it (MQTT 5.0, section 4.8.2).
    pub(super) fn parse(text: &'a str) -> Result<Self, InvalidFilter> {
        let Some(shared) = text.strip_prefix("$share/") else {
            check_filter(text)?;
            return Ok(Wanted { group: None, filter: text });
        };
        let (group, filter) = shared.split_once('/').ok_or(InvalidFilter::Empty)?;
        if group.is_empty() || group.contains(['+', '#']) {
            return Err(InvalidFilter::Mixed);
        }
        check_filter(filter)?;
        Ok(Wanted { group: Some(group), filter })
    }
}

/// The filter alone; of what is malformed, what it says.
pub(in crate::edge) fn filter_of(text: &str) -> &str {
    Wanted::parse(text).map_or(text, |wanted| wanted.filter)
}

/// What a session said of one filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) qos: u8,
    pub(super) no_local: bool,
    pub(super) retain_as_published: bool,
    pub(super) id: Option<u32>,
}

/// One delivery of a message: to a session, for all of its filters that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) session: u64,
    pub(super) qos: u8,
    pub(super) retain_as_published: bool,
    pub(super) ids: Vec<u32>,
}

/// All filters.
#[derive(Debug, Default)]
pub(super) struct Routes {
    exact: BTreeMap<String, Wishers>,
    wild: BTreeMap<String, Wishers>,
}

#[derive(Debug, Default)]
struct Wishers {
    each: BTreeMap<u64, Options>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    members: BTreeMap<u64, Options>,
    /// Who had the last message.
    last: u64,
}

impl Routes {
    /// Puts a session behind a filter; tells whether it was there before.
    pub(super) fn add(&mut self, session: u64, wanted: Wanted<'_>, options: Options) -> bool {
        let wishers = self.side(wanted.filter).entry(wanted.filter.to_owned()).or_default();
        let members = match wanted.group {
            None => &mut wishers.each,
            Some(group) => &mut wishers.groups.entry(group.to_owned()).or_default().members,
        };
        members.insert(session, options).is_some()
    }

    /// Takes a session from behind a filter; tells whether it was there.
    pub(super) fn remove(&mut self, session: u64, wanted: Wanted<'_>) -> bool {
        let side = self.side(wanted.filter);
        let Some(wishers) = side.get_mut(wanted.filter) else { return false };
        let removed = match wanted.group {
            None => wishers.each.remove(&session),
            Some(name) => wishers.groups.get_mut(name).and_then(|it| it.members.remove(&session)),
        };
        wishers.groups.retain(|_, group| !group.members.is_empty());
        if wishers.each.is_empty() && wishers.groups.is_empty() {
            side.remove(wanted.filter);
        }
        removed.is_some()
    }

    /// Who is to have a message, of those that `may_hear` it: each session once for all its own filters, and of
    /// each group one that `is_ready`, in turn; any, if nobody is.
    pub(super) fn matches(
        &mut self,
        topic: &str,
        from: u64,
        may_hear: impl Fn(u64) -> bool,
        is_ready: impl Fn(u64) -> bool,
    ) -> Vec<Match> {
        let wild = self.wild.iter_mut().filter(|(filter, _)| matches(filter, topic));
        let wild = wild.map(|(_, wishers)| wishers);
        let mut merged: BTreeMap<u64, Match> = BTreeMap::new();
        let mut chosen = Vec::new();
        for wishers in self.exact.get_mut(topic).into_iter().chain(wild) {
            for (session, options) in &wishers.each {
                if !(options.no_local && *session == from) && may_hear(*session) {
                    merged.entry(*session).or_insert_with(|| Match::none(*session)).add(*options);
                }
            }
            for group in wishers.groups.values_mut() {
                chosen.extend(group.choose(&may_hear, &is_ready).map(|(session, options)| {
                    let mut choice = Match::none(session);
                    choice.add(options);
                    choice
                }));
            }
        }
        merged.into_values().chain(chosen).collect()
    }

    fn side(&mut self, filter: &str) -> &mut BTreeMap<String, Wishers> {
        if filter.contains(['+', '#']) { &mut self.wild } else { &mut self.exact }
    }
}

impl Group {
    fn choose(
        &mut self,
        may_hear: impl Fn(u64) -> bool,
        is_ready: impl Fn(u64) -> bool,
    ) -> Option<(u64, Options)> {
        let later = self.members.range((Excluded(self.last), Unbounded));
        let all = || later.clone().chain(self.members.range(..=self.last));
        let turn = || all().filter(|(session, _)| may_hear(**session));
        let (session, options) =
            turn().find(|(session, _)| is_ready(**session)).or_else(|| turn().next())?;
        let (session, options) = (*session, *options);
        self.last = session;
        Some((session, options))
    }
}

impl Match {
    fn none(session: u64) -> Self {
        Match { session, qos: 0, retain_as_published: false, ids: Vec::new() }
    }

    /// Overlapping filters: the largest quality of service, and the ids of all (MQTT 5.0, section 3.3.4).
    fn add(&mut self, options: Options) {
        self.qos = self.qos.max(options.qos);
        self.retain_as_published |= options.retain_as_published;
        self.ids.extend(options.id);
    }
}

#[cfg(test)]
impl Routes {
    /// How many filters of how many sessions there are.
    pub(super) fn len(&self) -> usize {
        let wishers = self.exact.values().chain(self.wild.values());
        let of = |wishers: &Wishers| {
            let groups = wishers.groups.values().map(|group| group.members.len());
            wishers.each.len() + groups.sum::<usize>()
        };
        wishers.map(of).sum()
    }
}
