//! What hosts ruled holds: a ruling that was promised is in the audit trail of every node and in what
//! is exported; nothing is ruled that nobody pressed; an award counts once, however often it is sent.

use std::collections::{BTreeMap, BTreeSet};

use crdt_state::PlayerId;
use crdt_state::engagement::Key;
use node::service::view::{Command, CommandRequest};

use super::Exports;
use super::export::{Export, QuestionLine};
use crate::quiz::evidence::Evidence;
use crate::schedule::choice_of;

pub(super) fn check(evidence: &Evidence, exports: &Exports) -> Vec<String> {
    let mut found = Vec::new();
    for (node, end) in &evidence.ends {
        let lost = evidence.promised().filter(|ruled| !end.trail.contains(&ruled.request.by));
        found.extend(lost.map(|ruled| format!("node {node} has no trace of {ruled:?}")));
    }
    for (node, export) in super::readable(exports) {
        let wrong = [questions(evidence, export), awards(evidence, export)].concat();
        found.extend(wrong.into_iter().map(|what| format!("node {node}: {what}")));
    }
    found
}

fn pressed(evidence: &Evidence, command: Command) -> impl Iterator<Item = &CommandRequest> {
    let all = evidence.commands.iter().map(|(_, _, request)| request);
    all.filter(move |request| request.command == command)
}

/// The run that a ruling is on.
fn run_of(request: &CommandRequest) -> u32 {
    request.instance.unwrap_or(request.expected.instance)
}

fn questions(evidence: &Evidence, export: &Export) -> Vec<String> {
    let all = export.questions.values();
    all.flat_map(|line| aside(evidence, line).into_iter().chain(key(evidence, line))).collect()
}

fn aside(evidence: &Evidence, line: &QuestionLine) -> Option<String> {
    let on = |command| pressed(evidence, command).filter(|of| run_of(of) == line.instance);
    let again = pressed(evidence, Command::Back).any(|of| run_of(of) >= line.instance);
    let why = on(Command::Void).next().is_some() || on(Command::Skip).next().is_some() || again;
    if line.voided && !why {
        return Some(format!("{line:?} was set aside by nobody"));
    }
    let firm = |command| {
        evidence.promised().map(|ruled| &ruled.request).filter(move |of| of.command == command)
    };
    let left = [Command::Skip, Command::Back].into_iter().flat_map(firm);
    let is_left = left.into_iter().any(|of| run_of(of) == line.instance);
    let is_void = firm(Command::Void).any(|of| run_of(of) == line.instance);
    let restored = on(Command::Restore).next().is_some();
    // Who goes back makes void, which can be taken back; what was skipped stays so.
    let skipped = firm(Command::Skip).any(|of| run_of(of) == line.instance);
    let must = skipped || (is_left || is_void) && !restored;
    (must && !line.voided).then(|| format!("{line:?} was set aside by a promised ruling"))
}

/// What is right is what the show file says or some host did, with what hosts accepted beside it.
fn key(evidence: &Evidence, line: &QuestionLine) -> Option<String> {
    let question = evidence.plan.questions.get(line.number as usize - 1)?;
    let script = if question.form.has_key() { vec![question.correct] } else { Vec::new() };
    let of_run = |command| {
        let all = pressed(evidence, command).filter(|of| run_of(of) == line.instance);
        all.filter_map(ruled_right)
    };
    let keys: BTreeSet<Vec<u8>> =
        of_run(Command::Rescore).chain(of_run(Command::Resolve)).collect();
    let accepted: Vec<u8> = of_run(Command::Accept).flatten().collect();
    let is_held = |key: &[u8]| {
        let beside = line.correct.iter().filter(|choice| !key.contains(*choice));
        key.iter().all(|choice| line.correct.contains(choice))
            && beside.into_iter().all(|choice| accepted.contains(choice))
    };
    if !is_held(&script) && !keys.iter().any(|key| is_held(key)) {
        return Some(format!("{line:?} has a key that nobody gave"));
    }
    // Another question may have been shown where it was given.
    if super::questions_of(evidence, line.instance).len() != 1 {
        return None;
    }
    let promised = evidence.promised().filter(|ruled| run_of(&ruled.request) == line.instance);
    let broken = |command, request: &CommandRequest| match (command, ruled_right(request)) {
        (Command::Accept, Some(texts)) => !texts.iter().all(|it| line.correct.contains(it)),
        // One of several is the last, and nobody here knows which.
        (Command::Rescore | Command::Resolve, Some(key)) => keys.len() == 1 && !is_held(&key),
        _ => false,
    };
    let mut broken = promised.filter(|ruled| broken(ruled.request.command, &ruled.request));
    broken.next().map(|promised| format!("{line:?} does not have the key of {promised:?}"))
}

/// What a ruling says is right.
fn ruled_right(request: &CommandRequest) -> Option<Vec<u8>> {
    match (request.command, &request.key, &request.text) {
        (Command::Accept, _, Some(text)) => Some(choice_of(text).into_iter().collect()),
        (_, Some(Key::Choices(choices)), _) => Some(choices.clone()),
        (_, Some(Key::Texts(texts)), _) => {
            Some(texts.iter().filter_map(|t| choice_of(t)).collect())
        }
        _ => None,
    }
}

/// What each player was awarded is some of what was pressed, and all that was promised.
fn awards(evidence: &Evidence, export: &Export) -> Vec<String> {
    let firm: BTreeSet<&str> =
        evidence.promised().filter_map(|ruled| ruled.request.id.as_deref()).collect();
    let mut given: BTreeMap<PlayerId, BTreeMap<&str, i64>> = BTreeMap::new();
    for request in pressed(evidence, Command::Award) {
        let (Some(player), Some(id), Some(points)) =
            (request.player, request.id.as_deref(), request.points)
        else {
            continue;
        };
        given.entry(player).or_default().insert(id, points.into());
    }
    let mut found = Vec::new();
    for line in &export.players {
        let mut possible = BTreeSet::from([0]);
        for (id, points) in given.get(&line.player).into_iter().flatten() {
            let with = possible.iter().map(|sum| sum + points).collect::<BTreeSet<i64>>();
            if firm.contains(id) {
                possible = with;
            } else {
                possible.extend(with);
            }
        }
        if !possible.contains(&line.awarded) {
            found.push(format!("{line:?} was awarded none of the possible {possible:?}"));
        }
    }
    found
}
