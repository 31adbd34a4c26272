//! What a host rules on a run: leaving it, pausing it, and what it gives.
//!
//! Every ruling is idempotent: what holds already is answered with `already`, and what the run does not allow
//! is refused with a reason.

use super::core::EventCore;
use crate::service::view::{Command, CommandRequest, Refusal};
use crdt_state::caps::{ACCEPTED_MAX, KEYS_MAX as TEXTS_MAX};
use crdt_state::delta::{Delta, RulingChange};
use crdt_state::engagement::script::caps::ANSWER_BYTES_MAX;
use crdt_state::engagement::{Amendment, Facts, Key, PostId};
use crdt_state::event::{Rule, Ruling};
use crdt_state::name::find_unruly;
use crdt_state::{Mono, Phase, Stage};

impl EventCore {
    /// The commands on the current run that make sense now, beside its steps.
    pub(super) fn possible_rulings(&self) -> Vec<Command> {
        let (stage, mut all) = (self.stage(), Vec::new());
        if !self.has_time(stage) {
            return all;
        }
        all.push(if self.is_paused(stage.instance) { Command::Resume } else { Command::Pause });
        // What came of a run is not taken from players who have seen it.
        if stage.instance > 0 && !self.carried.state.has_told(stage.instance) {
            all.push(Command::Skip);
        }
        if stage.phase > Phase::Open {
            all.push(Command::Back);
            all.extend(self.rulings_on(stage.instance));
        }
        all
    }

    /// What can be ruled on what a run gives, whatever the stage; nothing until it is closed, and of one that was
    /// skipped.
    pub(super) fn rulings_on(&self, instance: u32) -> Vec<Command> {
        let state = &self.carried.state;
        let is_skipped = state.rulings.of(instance).is_some_and(Ruling::is_skipped);
        if self.newest_closed() < instance || is_skipped {
            return Vec::new();
        }
        let is_void = state.rulings.of(instance).is_some_and(Ruling::is_void);
        let amendments =
            state.question_of(instance).map_or(&[][..], |(_, it)| it.task.amendments());
        let amendments = amendments.iter().map(|amendment| match amendment {
            Amendment::Rescore => Command::Rescore,
            Amendment::Accept => Command::Accept,
            Amendment::Resolve => Command::Resolve,
        });
        let of_all = if is_void { Command::Restore } else { Command::Void };
        [of_all].into_iter().chain(amendments).collect()
    }

    /// Leaves the current run: for the next question, or for a new attempt at this one or another. What was
    /// left early or is tried again gives nothing.
    pub(super) fn leave(&mut self, now: Mono, ticket: u64, request: &CommandRequest) {
        let (expected, stage) = (super::views::stage_of(request.expected), self.stage());
        let instance = stage.instance;
        if stage != expected {
            return match self.has_left(expected.instance, request) {
                true => self.told_already(now, ticket, stage),
                false => self.stage_moved(ticket, expected),
            };
        }
        if !self.possible_rulings().contains(&request.command) {
            return self.not_possible(ticket, request.command, expected);
        }
        let (rule, to, question) = if request.command == Command::Skip {
            let to = self.after(instance);
            (Rule::Skip, to, self.question_for(to))
        } else {
            let current = self.carried.state.question_of(instance).map(|(number, _)| number);
            // No show has more questions than fit.
            let index = |number: u32| u16::try_from(number.saturating_sub(1)).unwrap_or(u16::MAX);
            let number = request.question.map(index).or(current).unwrap_or(0);
            if current.is_none_or(|current| number > current) {
                return self.not_possible(ticket, request.command, expected);
            }
            (Rule::Void(true), Stage::new(instance + 1, Phase::Intro), Some(number))
        };
        let voided = self.voided_attempts(instance, question, request.command);
        let mut deltas = vec![self.ruling(instance, rule)];
        deltas.extend(voided.iter().map(|run| self.ruling(*run, Rule::Void(true))));
        deltas.push(self.advance_to(to, question));
        let of = match (request.command, question) {
            (Command::Back, Some(number)) => {
                format!("question {} again{}", number + 1, void_in_words(&voided))
            }
            _ => self.round_in_words(instance),
        };
        self.write_noted(now, ticket, request, (of, to), deltas);
    }

    /// Whether a run was left as is wished: by a skip, or for the same question.
    fn has_left(&self, instance: u32, request: &CommandRequest) -> bool {
        let state = &self.carried.state;
        let Some(ruling) = state.rulings.of(instance) else { return false };
        if request.command == Command::Skip {
            return ruling.is_skipped();
        }
        let number = |run| state.question_of(run).map(|(number, _)| u32::from(number) + 1);
        let wished = request.question.or_else(|| number(instance));
        ruling.is_void() && wished.is_some() && number(instance + 1) == wished
    }

    /// What going back makes void beside the current run: every earlier run of a question from the one that
    /// is asked again on.
    fn voided_attempts(&self, but: u32, from: Option<u16>, command: Command) -> Vec<u32> {
        let state = &self.carried.state;
        let is_after = |instance: u32| {
            let question = state.round(instance).and_then(crdt_state::event::Round::question);
            instance != but && question >= from
        };
        let instances = state.instances().map(|(instance, _)| instance);
        instances
            .filter(|instance| {
                command == Command::Back && is_after(*instance) && !state.is_aside(*instance)
            })
            .collect()
    }

    /// Whether time passes that can be made to stand still: that of a run, or of a lobby that ends by itself.
    fn has_time(&self, stage: Stage) -> bool {
        let script = self.carried.state.script();
        let ends_itself =
            script.is_some_and(|it| it.autopilot_ms.is_some() && it.lobby_ms.is_some());
        !stage.is_over() && (stage.instance > 0 || (stage == Stage::LOBBY && ends_itself))
    }

    pub(super) fn pause(&mut self, now: Mono, ticket: u64, request: &CommandRequest) {
        let (expected, stage) = (super::views::stage_of(request.expected), self.stage());
        let instance = stage.instance;
        if !self.has_time(stage) {
            return self.not_possible(ticket, request.command, expected);
        }
        if expected.instance != instance {
            return self.stage_moved(ticket, expected);
        }
        if self.is_paused(instance) == (request.command == Command::Pause) {
            return self.told_already(now, ticket, stage);
        }
        let epochs = self.carried.state.rulings.of(instance).map_or(0, Ruling::pauses);
        let held_ms = self.carried.stood_still_ms(now, instance);
        let ruling = self.ruling(instance, Rule::Pause { epoch: epochs + 1, held_ms });
        let told = (self.round_in_words(instance), stage);
        self.write_noted(now, ticket, request, told, vec![ruling]);
    }

    /// Rules what a run that is closed gives, or what becomes of a post.
    pub(super) fn rule(&mut self, now: Mono, ticket: u64, request: &CommandRequest) {
        let instance = request.instance.unwrap_or(self.stage().instance);
        match self.check_trail().and_then(|()| self.check_rule(instance, request)) {
            Err(refusal) => self.refuse(ticket, refusal),
            Ok(None) => self.told_already(now, ticket, self.stage()),
            Ok(Some(rule)) => {
                let told = (self.in_words(instance, &rule), self.stage());
                self.write_noted(now, ticket, request, told, vec![self.ruling(instance, rule)]);
            }
        }
    }

    /// The ruling that is wanted; nothing if it holds already.
    fn check_rule(&self, instance: u32, request: &CommandRequest) -> Result<Option<Rule>, Refusal> {
        let state = &self.carried.state;
        let refuse = |message: String| Refusal::new("not_possible", message);
        let facts = Facts::of(state, instance)
            .ok_or_else(|| refuse(format!("there is no round {instance}")))?;
        let ruling = state.rulings.of(instance);
        if request.command == Command::Moderate {
            return moderate(&facts, ruling, request).map_err(refuse);
        }
        if self.newest_closed() < instance {
            return Err(refuse(format!("round {instance} is not closed yet"))
                .hint("close it first: what counts is ruled on when all answers are in"));
        }
        if ruling.is_some_and(Ruling::is_skipped) {
            let message =
                format!("round {instance} was skipped, and gives nothing whatever is ruled");
            return Err(refuse(message).hint("go back to ask its question again"));
        }
        let is_void = ruling.is_some_and(Ruling::is_void);
        let rule = match request.command {
            Command::Void => (!is_void).then_some(Rule::Void(true)),
            Command::Restore if is_void => {
                self.check_restore(&facts)?;
                Some(Rule::Void(false))
            }
            Command::Restore => None,
            Command::Accept => accept(&facts, request).map_err(refuse)?,
            _ => rescore(&facts, request).map_err(refuse)?,
        };
        Ok(rule)
    }

    /// Whether a run that is void may count again: not beside another attempt at the same question, which
    /// would count twice, and whose players would be told now what is right.
    fn check_restore(&self, facts: &Facts<'_>) -> Result<(), Refusal> {
        let (state, question) = (facts.state, facts.number + 1);
        let runs = state.instances().filter_map(|(at, _)| Some((at, state.question_of(at)?.0)));
        let others: Vec<_> = runs.filter(|(instance, _)| *instance != facts.instance).collect();
        let mut again =
            others.iter().filter(|(at, number)| *number == facts.number && !state.is_aside(*at));
        if let Some((again, _)) = again.next() {
            let asked = if *again > facts.instance { "is asked again" } else { "counts" };
            let message = format!("question {question} {asked} in round {again}");
            return Err(Refusal::new("not_possible", message)
                .hint(format!("once round {again} is void, this one can count again")));
        }
        let later = others.last().filter(|(at, _)| *at > facts.instance);
        let is_to_come = later.is_some_and(|(_, number)| *number < facts.number);
        if is_to_come && !self.stage().is_over() {
            let message = format!("the show has gone back and comes to question {question} again");
            return Err(Refusal::new("not_possible", message));
        }
        Ok(())
    }

    /// What a ruling is on, and what it says, for the audit trail.
    fn in_words(&self, instance: u32, rule: &Rule) -> String {
        let question = self.carried.state.question_of(instance).map(|(_, question)| question);
        let round = self.round_in_words(instance);
        match (rule, question) {
            (Rule::Key(key), Some(question)) => format!("{round}: {}", question.in_words(key)),
            (Rule::Accept(text), _) => format!("{round}: {text}"),
            (Rule::Post(post, fate), _) => format!("{round}: post {post:016x} {fate}"),
            _ => round,
        }
    }

    /// A run and the question that it runs: a trail is read long after, when nobody knows any more what round 7
    /// asked.
    pub(super) fn round_in_words(&self, instance: u32) -> String {
        match self.carried.state.question_of(instance) {
            Some((number, _)) => format!("round {instance}, question {}", number + 1),
            None if instance == 0 => "the lobby".to_owned(),
            None => format!("round {instance}"),
        }
    }

    fn ruling(&self, instance: u32, rule: Rule) -> Delta {
        let lamport = self.carried.state.next_lamport();
        Delta::Ruling(RulingChange { lamport, instance, rule })
    }
}

/// Which earlier runs are void from now on, for the audit trail, in a line of bounded length.
fn void_in_words(runs: &[u32]) -> String {
    match runs {
        [] => String::new(),
        [run] => format!(", round {run} is void"),
        _ if runs.len() <= RUNS_NAMED => {
            let runs: Vec<String> = runs.iter().map(u32::to_string).collect();
            format!(", rounds {} are void", runs.join(", "))
        }
        [first, .., last] => format!(", {} rounds from {first} to {last} are void", runs.len()),
    }
}

/// So many runs are named one by one in a line of the audit trail. Arbitrary.
const RUNS_NAMED: usize = 8;

/// Another key, or what came true.
fn rescore(facts: &Facts<'_>, request: &CommandRequest) -> Result<Option<Rule>, String> {
    let is_late = request.command == Command::Resolve;
    let amendment = if is_late { Amendment::Resolve } else { Amendment::Rescore };
    if !facts.question.task.amendments().contains(&amendment) {
        let kind = facts.question.task.name();
        return Err(format!("{} makes no sense for a {kind}", request.command.word()));
    }
    let key = in_order(request.key.clone().ok_or("name the key")?);
    check_texts(&key)?;
    facts.question.task.check_key(&key).map_err(|invalid| invalid.to_string())?;
    // What was accepted beside it stays accepted, whatever the key.
    let holds = facts.sole_key().map(in_order).as_ref() == Some(&key);
    Ok((!holds).then_some(Rule::Key(key)))
}

/// A key as everybody writes it: what is the same is written the same.
fn in_order(key: Key) -> Key {
    match key {
        Key::Choices(mut choices) => {
            choices.sort_unstable();
            choices.dedup();
            Key::Choices(choices)
        }
        Key::Texts(texts) => {
            let mut texts: Vec<String> = texts.iter().map(|text| text.trim().to_owned()).collect();
            texts.retain(|text| !text.is_empty());
            texts.sort_unstable();
            texts.dedup();
            Key::Texts(texts)
        }
        Key::Number(_) | Key::Order(_) => key,
    }
}

fn check_texts(key: &Key) -> Result<(), String> {
    let Key::Texts(texts) = key else { return Ok(()) };
    if let Some(long) = texts.iter().find(|text| text.len() > ANSWER_BYTES_MAX) {
        return Err(format!("{long:?} has more than {ANSWER_BYTES_MAX} bytes"));
    }
    if let Some(text) = texts.iter().find(|text| find_unruly(text).is_some()) {
        return Err(format!("{text:?} has a character that cannot be shown"));
    }
    if texts.len() > TEXTS_MAX {
        return Err(format!("{} texts, at most {TEXTS_MAX} are kept", texts.len()));
    }
    Ok(())
}

/// A text that is right too.
fn accept(facts: &Facts<'_>, request: &CommandRequest) -> Result<Option<Rule>, String> {
    if !facts.question.task.amendments().contains(&Amendment::Accept) {
        return Err("only a typed answer can be accepted".to_owned());
    }
    let text = request.text.as_deref().unwrap_or_default().trim().to_owned();
    if text.is_empty() || text.len() > ANSWER_BYTES_MAX || find_unruly(&text).is_some() {
        return Err("name the text that is right too".to_owned());
    }
    // What is right already, in another spelling or with a slip that is forgiven, changes nothing.
    let known = facts.key().is_some_and(|key| facts.question.task.is_accepted(&key, &text));
    let ruling = facts.state.rulings.of(facts.instance);
    let accepted = ruling.map_or(0, |ruling| ruling.accepted().count());
    if !known && accepted >= ACCEPTED_MAX {
        return Err(format!("{ACCEPTED_MAX} texts are accepted beside the question's own already"));
    }
    Ok((!known).then_some(Rule::Accept(text)))
}

/// What becomes of a post.
fn moderate(
    facts: &Facts<'_>,
    ruling: Option<&Ruling>,
    request: &CommandRequest,
) -> Result<Option<Rule>, String> {
    let (Some(id), Some(fate)) = (request.post.as_deref(), request.fate) else {
        return Err("name the post and its fate".to_owned());
    };
    let Ok(post) = PostId::from_str_radix(id, 16) else {
        return Err(format!("{id:?} is no id of a post: those are up to 16 hexadecimal digits"));
    };
    let known = facts.state.sides.post(facts.instance, post);
    if known.is_none_or(|post| post.content().is_none()) {
        return Err(format!("there is no post {post:016x} here; it may be on its way"));
    }
    let held = ruling.map(|ruling| ruling.fate(post)).unwrap_or_default();
    Ok((held != fate).then_some(Rule::Post(post, fate)))
}
