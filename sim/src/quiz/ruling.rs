//! What hosts rule beside the show's steps, as their pages offer it: mostly nothing.
//!
//! A function of dice and of what the page shows, the same in both fidelities.

use std::collections::BTreeMap;

use crdt_state::PlayerId;
use crdt_state::engagement::{Key, TaskView};
use node::service::view::{Command, CommandRequest, LiveView, PhaseView, StageView};

use crate::mix::Draw;
use crate::schedule::{Form, word};

/// The numbers of the dice.
mod die {
    pub(super) const WHAT: u64 = 10;
    pub(super) const OPTION: u64 = 11;
    pub(super) const RUN: u64 = 12;
    pub(super) const PLAYER: u64 = 13;
    pub(super) const POINTS: u64 = 14;
    pub(super) const AGAIN: u64 = 15;
    pub(super) const RESOLVES: u64 = 16;
    pub(super) const CANCELS: u64 = 17;
}

/// New attempts that one host makes: more would only make a show longer.
const ATTEMPTS: u32 = 1;
/// How often a look at a page that shows no open question leads to a word on an earlier prediction: most are
/// resolved within the show, and some again.
const RESOLVES: f64 = 0.1;
/// How often such a word is that it is cancelled.
const CANCELS: f64 = 0.2;

/// A host who rules, with what was ruled so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ruler {
    number: u8,
    pressed: u32,
    attempts: u32,
    last_award: Option<CommandRequest>,
    /// The runs of predictions that were seen closed, with how many options each has.
    predictions: BTreeMap<u32, u8>,
}

/// What is not a step of the show, and what leaves a run before its end.
pub(crate) fn is_ruling(command: Command) -> bool {
    use Command::{
        Accept, Award, Back, Extend, Pause, Rescore, Resolve, Restore, Resume, Skip, Void,
    };
    let of_time = matches!(command, Back | Extend | Pause | Resume | Skip);
    of_time || matches!(command, Accept | Award | Rescore | Resolve | Restore | Void)
}

/// What a host goes by, of all that a page shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Page {
    /// The stage.
    pub(crate) stage: StageView,
    /// Whether time stands still.
    pub(crate) paused: bool,
    /// What the shown question asks for, and how many options it has; nothing where none is shown.
    pub(crate) question: Option<(Form, u8)>,
}

impl Page {
    /// What is shown.
    pub(crate) fn of(live: &LiveView) -> Self {
        let form = |task: &TaskView| match task {
            TaskView::Prediction(_) => Form::Prediction,
            TaskView::Quiz(quiz) if quiz.form == "typed" => Form::Typed,
            _ => Form::Choice,
        };
        let question = live.question.as_ref();
        let question = question.map(|shown| (form(&shown.task), shown.options().len() as u8));
        Self { stage: live.stage, paused: live.paused, question }
    }

    fn form(&self) -> Form {
        self.question.map_or(Form::Choice, |(form, _)| form)
    }
}

/// Whether a command leads to another stage.
pub(crate) fn is_step(command: Command) -> bool {
    !is_ruling(command) || matches!(command, Command::Skip | Command::Back)
}

impl Ruler {
    pub(crate) fn new(number: u8) -> Self {
        Self { number, ..Self::default() }
    }

    /// Who asks, so that the audit trail names each ruling's own host.
    pub(crate) fn signed(&mut self, mut request: CommandRequest) -> CommandRequest {
        self.pressed += 1;
        request.by = format!("host {}, ruling {}", self.number, self.pressed);
        request
    }

    /// What is ruled at this look at the page, if anything; `player` makes a number the id of somebody.
    pub(crate) fn ruling(
        &mut self,
        dice: Draw,
        page: Page,
        player: impl FnOnce(u64) -> PlayerId,
    ) -> Option<CommandRequest> {
        self.note_prediction(page);
        let command = self.choose(dice, page)?;
        let instance = page.stage.instance;
        let mut request = CommandRequest::new(command, page.stage);
        match command {
            Command::Void | Command::Restore => {
                request.instance = Some(1 + dice.up_to(die::RUN, u64::from(instance) - 1) as u32);
            }
            Command::Rescore => {
                request.instance = Some(instance);
                let options = page.question.map_or(2, |(_, options)| options);
                let option = dice.up_to(die::OPTION, (options.max(1) - 1).into()) as u8;
                request.key = Some(match page.form() {
                    Form::Typed => Key::Texts(vec![any_word(dice)]),
                    _ => Key::Choices(vec![option]),
                });
            }
            Command::Accept => {
                request.instance = Some(instance);
                request.text = Some(any_word(dice));
            }
            Command::Resolve => {
                let (run, key) = self.came_true(dice)?;
                (request.instance, request.key) = (Some(run), Some(key));
            }
            Command::Back => self.attempts += 1,
            Command::Award => return Some(self.award(dice, request, player)),
            _ => {}
        }
        Some(self.signed(request))
    }

    /// Remembers a prediction that is closed: it can be resolved from now on.
    fn note_prediction(&mut self, Page { stage, question, .. }: Page) {
        let is_closed = stage.phase > PhaseView::Open && stage.phase < PhaseView::Ended;
        if let Some((Form::Prediction, options)) = question.filter(|_| is_closed) {
            self.predictions.insert(stage.instance, options);
        }
    }

    /// What a host says of an earlier prediction.
    fn came_true(&self, dice: Draw) -> Option<(u32, Key)> {
        let last = self.predictions.len().checked_sub(1)?;
        let (run, options) =
            self.predictions.iter().nth(dice.up_to(die::RUN, last as u64) as usize)?;
        let option = dice.up_to(die::OPTION, u64::from(options.saturating_sub(1))) as u8;
        let is_cancelled = dice.unit(die::CANCELS) < CANCELS;
        Some((*run, Key::Choices(if is_cancelled { Vec::new() } else { vec![option] })))
    }

    fn choose(&self, dice: Draw, page: Page) -> Option<Command> {
        let resolves = dice.unit(die::RESOLVES) < RESOLVES && !self.predictions.is_empty();
        if resolves && page.stage.phase != PhaseView::Open {
            return Some(Command::Resolve);
        }

        let chance = dice.unit(die::WHAT);
        let pick = |shares: &[(f64, Command)]| {
            let mut sum = 0.0;
            shares.iter().find_map(|(share, command)| {
                sum += share;
                (chance < sum).then_some(*command)
            })
        };
        if page.paused {
            return pick(&[(0.2, Command::Resume)]);
        }
        match page.stage.phase {
            PhaseView::Intro => pick(&[(0.03, Command::Skip), (0.02, Command::Pause)]),
            PhaseView::Open => pick(&[(0.008, Command::Pause), (0.002, Command::Skip)]),
            PhaseView::Closed | PhaseView::Tallies => self.choose_closed(page.form(), pick),
            PhaseView::Reveal | PhaseView::Board => {
                self.choose_closed(page.form(), pick).filter(|command| *command != Command::Skip)
            }
            _ => None,
        }
    }

    fn choose_closed(
        &self,
        form: Form,
        pick: impl FnOnce(&[(f64, Command)]) -> Option<Command>,
    ) -> Option<Command> {
        use Command::{Accept, Award, Back, Pause, Rescore, Restore, Skip, Void};
        let shares = [(0.06, Void), (0.05, Restore), (0.07, Rescore), (0.08, Award), (0.02, Pause)];
        let all = [&shares[..], &[(0.02, Skip), (0.03, Back), (0.1, Accept)]].concat();
        pick(&all).filter(|command| match command {
            Back => self.attempts < ATTEMPTS,
            Accept => form == Form::Typed,
            Rescore => form.has_key(),
            _ => true,
        })
    }

    /// Points for somebody; or once more what was awarded last, as after a lost reply.
    fn award(
        &mut self,
        dice: Draw,
        mut request: CommandRequest,
        player: impl FnOnce(u64) -> PlayerId,
    ) -> CommandRequest {
        let again = self.last_award.clone().filter(|_| dice.unit(die::AGAIN) < 0.4);
        if let Some(last) = again {
            return CommandRequest { expected: request.expected, ..last };
        }
        request.player = Some(player(dice.word(die::PLAYER)));
        request.points = Some([-300, -1, 1, 250, 2_000][dice.up_to(die::POINTS, 4) as usize]);
        request.text = Some("a song".to_owned());
        let mut request = self.signed(request);
        request.id = Some(request.by.clone());
        self.last_award = Some(request.clone());
        request
    }
}

/// Something that people type.
fn any_word(dice: Draw) -> String {
    word(dice.up_to(die::OPTION, 3) as u8).unwrap_or_default().to_owned()
}
