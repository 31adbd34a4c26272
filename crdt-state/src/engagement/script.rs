//! A show as its author wrote it: immutable once imported, the same on every node.
//!
//! A script holds the correct answers and therefore never travels to a player; what players see are the
//! views of each kind, types that have no field for them.

use super::file::{Object, Report, Table, Value, What, milliseconds, seconds, text, wrong_type};
use super::quiz::Quiz;
use super::scoring::Scoring;
use super::{Invalid, Key, Kind, Task, TaskView};
use serde::{Deserialize, Serialize};

/// The caps that every script keeps; a file beyond them is refused when it is imported.
pub mod caps {
    /// Questions in one show.
    pub const QUESTIONS_MAX: usize = 50_000;
    /// Options of one question, as many as a choice mask has bits for.
    pub const OPTIONS_MAX: usize = 16;
    /// Fewest options that make a choice.
    pub const OPTIONS_MIN: usize = 2;
    /// Bytes of a title, a question or an explanation.
    pub const TEXT_BYTES_MAX: usize = 1_000;
    /// Bytes of one option.
    pub const OPTION_BYTES_MAX: usize = 200;
    /// Shortest and longest time that a question may be open, in milliseconds.
    pub const OPEN_MS: std::ops::RangeInclusive<u32> = 1_000..=600_000;
    /// Most points that one question may give.
    pub const POINTS_MAX: u32 = 100_000;
    /// Shortest and longest wait of the autopilot, in milliseconds. Arbitrary: shorter is a flicker on
    /// the big screen, longer is not an autopilot.
    pub const AUTOPILOT_MS: std::ops::RangeInclusive<u32> = 1_000..=600_000;
    /// Most teams of a show.
    pub const TEAMS_MAX: usize = 16;
    /// Largest limit on who may choose one team.
    pub const TEAM_SIZE_MAX: u32 = 10_000_000;
    /// Problems listed of one file; a file with more than that is not a show but something else.
    pub const PROBLEMS_MAX: usize = 1_000;
    /// Bytes of a text that a player types.
    pub const ANSWER_BYTES_MAX: usize = 200;
}

/// What the field `format` says.
pub const FORMAT: &str = "starling-show/1";

/// A show: a title and its questions in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Script {
    /// Shown on every page.
    pub title: String,
    /// At least one; a step of the show is an index into this list.
    pub questions: Vec<Question>,
    /// How long the director waits in the phases that nobody has to act in; `None` leaves every
    /// step but the close of a question to the host.
    pub autopilot_ms: Option<u32>,
    /// How long the lobby of a show that runs by itself is open; `None` leaves the start to the host.
    pub lobby_ms: Option<u32>,
    /// The teams that players are spread over; none in most shows.
    pub teams: Teams,
    /// Who may come in.
    pub entry: Entry,
}

/// Who may come into a show.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Entry {
    /// Whoever knows the PIN; a name is enough.
    #[default]
    Open,
    /// Only for whom the operator's own platform vouches, with a token for this event.
    Closed,
}

impl Entry {
    /// What a show file calls each.
    const WORDS: [(&str, Entry); 2] = [("open", Entry::Open), ("closed", Entry::Closed)];
}

/// The teams of a show.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Teams {
    /// Their names.
    pub names: Vec<String>,
    /// How a team's score comes from its members'.
    pub score: TeamScore,
    /// When players choose theirs; whoever has not is in one that is drawn from the player's id.
    pub choice: TeamChoice,
    /// How many may choose one team, in the view of the node that they ask; nothing for any number.
    pub size_max: Option<u32>,
}

/// When players choose their team.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum TeamChoice {
    /// In the lobby, until the first question.
    #[default]
    Lobby,
    /// Until the show is over.
    Always,
    /// Never: teams are drawn.
    Never,
}

/// How a team's score comes from its members'.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub enum TeamScore {
    /// Their mean, so that a small team has a chance.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

/// Random bytes from which comes what hides a key behind its published hash until the reveal; fixed when a
/// show is imported, so that nodes that open one run at once publish one hash. Never published itself.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Salt(pub [u8; 16]);

/// One step of a show: what is asked of everybody, whatever its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Question {
    /// What is asked.
    pub text: String,
    /// How long it is open, in milliseconds, within [`caps::OPEN_MS`].
    pub open_ms: u32,
    /// What an immediate correct answer gives, 0 to [`caps::POINTS_MAX`].
    pub points: u32,
    /// Shown with the reveal.
    pub explanation: Option<String>,
    /// The address of a picture.
    pub image: Option<String>,
    /// When players whose stream has got there see it, in milliseconds of the stream.
    pub media_ms: Option<u32>,
    /// How far behind the opening a player's stream may be, in milliseconds; of no meaning without `media_ms`.
    pub media_window_ms: u32,
    /// How answers are scored.
    pub scoring: Scoring,
    /// Hides the key until the reveal.
    pub salt: Salt,
    /// What is to be done, by kind.
    pub task: Task,
}

impl Question {
    /// A question with defaults for everything but its task.
    #[must_use]
    pub fn new(text: impl Into<String>, task: Task) -> Self {
        Question {
            text: text.into(),
            open_ms: OPEN_MS_DEFAULT,
            points: POINTS_DEFAULT,
            explanation: None,
            image: None,
            media_ms: None,
            media_window_ms: MEDIA_WINDOW_MS_DEFAULT,
            scoring: Scoring::default(),
            salt: Salt::default(),
            task,
        }
    }

    /// A question of a quiz with one or more correct options, `correct` as a mask.
    #[must_use]
    pub fn choice(text: impl Into<String>, options: Vec<String>, correct: u32) -> Self {
        let multiple = correct.count_ones() > 1;
        Question::new(text, Task::Quiz(Quiz::Choice { options, correct, multiple }))
    }

    /// The same, open for so long.
    #[must_use]
    pub fn open_ms(mut self, open_ms: u32) -> Self {
        self.open_ms = open_ms;
        self
    }

    /// By how much players may see it later than others, in milliseconds: 0 unless a stream's time opens it.
    #[must_use]
    pub fn window_ms(&self) -> u32 {
        self.media_ms.map_or(0, |_| self.media_window_ms)
    }

    /// How long a run of it is open in all, in milliseconds: for the players whose stream is last.
    #[must_use]
    pub fn length_ms(&self) -> u32 {
        self.open_ms + self.window_ms()
    }

    /// The options of a choice, and the mask of the correct ones; nothing for other tasks.
    #[must_use]
    pub fn as_choice(&self) -> Option<(&[String], u32)> {
        match &self.task {
            Task::Quiz(Quiz::Choice { options, correct, .. }) => Some((options, *correct)),
            _ => None,
        }
    }

    /// A key of this question, as a person would say it.
    #[must_use]
    pub fn in_words(&self, key: &Key) -> String {
        self.task.key_in_words(key)
    }

    fn read(value: &Value, path: &str, scoring: &Scoring, report: &mut Report) -> Option<Self> {
        let kind = Task::kind_of(value, path, report)?;
        let known = [&["text"], kind.fields(), &COMMON].concat();
        let entry = Object::read(value, path, &known, report)?;
        let read_text = |value: &Value, path: &str, report: &mut Report| {
            text(value, path, caps::TEXT_BYTES_MAX, report)
        };
        let text = entry.text("text", report);
        let task = kind.read(&entry, report);
        let open_ms = entry.optional("seconds", report, |value, path, report| {
            milliseconds(value, path, &caps::OPEN_MS, report)
        });
        let points = entry.whole("points", 0..=caps::POINTS_MAX, report);
        let explanation = entry.optional("explanation", report, read_text);
        let image = entry.optional("image", report, read_image);
        let media_ms = entry.optional("media_seconds", report, |value, path, report| {
            milliseconds(value, path, &MEDIA_MS, report)
        });
        let media_window_ms =
            entry.optional("media_window_seconds", report, |value, path, report| {
                if media_ms.is_none() {
                    report.at(value, path, "a window needs \"media_seconds\", which opens it");
                }
                milliseconds(value, path, &MEDIA_WINDOW_MS, report)
            });
        let mut scoring = Scoring::read(&entry, scoring, report);
        if points == Some(0) && entry.field("scoring").is_none() {
            // A question to warm up costs nothing, whatever the show's other questions do.
            scoring.wrong = 0;
        }
        Some(Question {
            open_ms: open_ms.unwrap_or(OPEN_MS_DEFAULT),
            points: points.unwrap_or(POINTS_DEFAULT),
            explanation,
            image,
            media_ms,
            media_window_ms: media_window_ms.unwrap_or(MEDIA_WINDOW_MS_DEFAULT),
            scoring,
            ..Question::new(text?, task?)
        })
    }

    fn write(&self) -> What {
        let mut out = Table::default();
        out.put_unless("kind", self.task.name(), &Quiz::NAME);
        out.put("text", self.text.clone());
        self.task.write(&mut out);
        out.put("seconds", seconds(self.open_ms));
        out.put("points", self.points);
        if let Some(explanation) = &self.explanation {
            out.put("explanation", explanation.clone());
        }
        if let Some(image) = &self.image {
            out.put("image", image.clone());
        }
        if let Some(media_ms) = self.media_ms {
            out.put("media_seconds", seconds(media_ms));
            if self.media_window_ms != MEDIA_WINDOW_MS_DEFAULT {
                out.put("media_window_seconds", seconds(self.media_window_ms));
            }
        }
        self.scoring.write(&mut out);
        out.done()
    }
}

fn read_image(value: &Value, path: &str, report: &mut Report) -> Option<String> {
    let address = text(value, path, caps::TEXT_BYTES_MAX, report)?;
    let is_web = address.starts_with("https://") || address.starts_with("http://");
    if !is_web {
        report.at(value, path, "expected an address that begins with https:// or http://");
    }
    is_web.then_some(address)
}

impl Script {
    /// A show of questions that a host drives.
    #[must_use]
    pub fn new(title: impl Into<String>, questions: Vec<Question>) -> Self {
        let (title, teams) = (title.into(), Teams::default());
        let entry = Entry::default();
        Script { title, questions, autopilot_ms: None, lobby_ms: None, teams, entry }
    }

    /// Reads a show; what is wrong with it is in the report.
    pub fn read(root: &Value, report: &mut Report) -> Option<Self> {
        let show = Object::read(root, "", &SHOW, report)?;
        read_format(&show, report);
        let title = show.text("title", report);
        let wait = |value: &Value, path: &str, report: &mut Report| {
            milliseconds(value, path, &caps::AUTOPILOT_MS, report)
        };
        let autopilot_ms = show.optional("autopilot_seconds", report, wait);
        let lobby_ms = show.optional("lobby_seconds", report, wait);
        if let (Some(_), None, Some(value)) = (lobby_ms, autopilot_ms, show.field("lobby_seconds"))
        {
            let path = show.path_to("lobby_seconds");
            report.at(value, &path, "it does nothing without \"autopilot_seconds\"");
        }
        let scoring = Scoring::read(&show, &Scoring::default(), report);
        let teams = show.optional("teams", report, Teams::read).unwrap_or_default();
        let entry = show.word("entry", &Entry::WORDS, report);
        let lengths = 1..=caps::QUESTIONS_MAX;
        let (list, path) = show.list("questions", &lengths, "questions", report)?;
        let read = |(index, value): (usize, &Value)| {
            Question::read(value, &format!("{path}[{index}]"), &scoring, report)
        };
        let questions: Vec<_> = list.iter().enumerate().map(read).collect();
        let asked = list.iter().zip(&questions).enumerate();
        for (index, (value, question)) in asked {
            let fits = question.as_ref().map(|question| question.task.check_teams(&teams.names));
            if let Some(Err(Invalid(why))) = fits {
                report.at(value, &format!("{path}[{index}].sides"), why);
            }
        }
        let questions = questions.into_iter().collect::<Option<Vec<_>>>();
        let (title, questions) = (title?, questions?);
        Some(Script { title, questions, autopilot_ms, lobby_ms, teams, entry })
    }

    /// What players see of a question's task, `announced` while it is read out; see
    /// [`Task::view`](super::Task::view).
    #[must_use]
    pub fn view(&self, number: u16, announced: bool) -> Option<TaskView> {
        let question = self.questions.get(usize::from(number))?;
        Some(question.task.view_in(self, number, announced))
    }

    /// The show file that reads back to this script, except for its salts.
    #[must_use]
    pub fn write(&self) -> What {
        let mut out = Table::default();
        out.put("format", FORMAT);
        out.put("title", self.title.clone());
        out.put("autopilot_seconds", self.autopilot_ms.map_or(What::Null, seconds));
        if let Some(lobby_ms) = self.lobby_ms {
            out.put("lobby_seconds", seconds(lobby_ms));
        }
        if !self.teams.names.is_empty() {
            let mut teams = Table::default();
            teams.put("names", self.teams.names.as_slice());
            if self.teams.score == TeamScore::Sum {
                teams.put("score", "sum");
            }
            let choice = TeamChoice::WORDS.iter().find(|(_, choice)| *choice == self.teams.choice);
            let (word, _) = choice.expect("every choice has a word");
            teams.put_unless("choice", *word, &TeamChoice::WORDS[0].0);
            if let Some(size_max) = self.teams.size_max {
                teams.put("size_max", size_max);
            }
            out.put("teams", teams.done());
        }
        if self.entry == Entry::Closed {
            out.put("entry", "closed");
        }
        let questions = self.questions.iter().map(|each| Value::new(0, each.write()));
        out.put("questions", What::List(questions.collect()));
        out.done()
    }
}

impl Teams {
    fn read(value: &Value, path: &str, report: &mut Report) -> Option<Self> {
        let table = Object::read(value, path, &["names", "score", "choice", "size_max"], report)?;
        let names = table.options("names", &(2..=caps::TEAMS_MAX), report);
        let words = [("mean", TeamScore::Mean), ("sum", TeamScore::Sum)];
        let score = table.word("score", &words, report);
        let choice = table.word("choice", &TeamChoice::WORDS, report);
        let size_max = table.whole("size_max", 1..=caps::TEAM_SIZE_MAX, report);
        Some(Teams { score, choice, size_max, names: names? })
    }
}

impl TeamChoice {
    /// What a show file calls each.
    const WORDS: [(&str, TeamChoice); 3] = [
        ("lobby", TeamChoice::Lobby),
        ("always", TeamChoice::Always),
        ("never", TeamChoice::Never),
    ];
}

fn read_format(show: &Object<'_>, report: &mut Report) {
    let Some((value, path)) = show.required("format", report) else { return };
    let Some(format) = super::file::string(value, &path, report) else { return };
    if format != FORMAT {
        let found = super::file::quote(format);
        report.at(value, &path, format!("{found} cannot be read, expected \"{FORMAT}\""));
    }
}

/// The mask of correct options; `options` is absent when they could not be read at all.
pub(super) fn read_correct(
    entry: &Object<'_>,
    options: Option<&[String]>,
    multiple: bool,
    report: &mut Report,
) -> Option<u32> {
    let (value, path) = entry.required("correct", report)?;
    let options = options?;
    let What::List(list) = &value.what else {
        return read_choice(value, &path, options, report).map(|choice| 1 << choice);
    };
    let mut mask = 0;
    for (index, value) in list.iter().enumerate() {
        let path = format!("{path}[{index}]");
        let Some(choice) = read_choice(value, &path, options, report) else { continue };
        if mask & (1 << choice) != 0 {
            report.at(value, &path, format!("option {choice} is named a second time"));
        }
        mask |= 1 << choice;
    }
    check_count(value, &path, list.len(), multiple, report);
    Some(mask)
}

fn check_count(value: &Value, path: &str, count: usize, multiple: bool, report: &mut Report) {
    if count == 0 {
        report.at(value, path, "no option is correct, expected at least one");
    }
    if count > 1 && !multiple {
        let advice = "add \"multiple\": true to let players choose several";
        report.at(value, path, format!("{count} options are correct: {advice}"));
    }
}

/// One option, by its number or by its words.
pub(super) fn read_choice(
    value: &Value,
    path: &str,
    options: &[String],
    report: &mut Report,
) -> Option<usize> {
    // Beyond the cap the list itself has been reported, and a mask has no bit for the choice.
    let count = options.len().min(caps::OPTIONS_MAX);
    match &value.what {
        What::Number(number) => {
            let choice = number.parse().ok().filter(|choice: &usize| *choice < count);
            if choice.is_none() {
                let found: String = number.chars().take(40).collect();
                let wanted = match count {
                    0 => "there are none".to_owned(),
                    _ => format!("they count from 0 to {}", count - 1),
                };
                report.at(value, path, format!("{found} is no option: {wanted}"));
            }
            choice
        }
        What::Text(words) => {
            let choice = options[..count].iter().position(|option| option == words);
            if choice.is_none() {
                let found = super::file::quote(words);
                report.at(value, path, format!("{found} is none of the options"));
            }
            choice
        }
        _ => {
            wrong_type(value, path, "an option's number or its words", report);
            None
        }
    }
}

/// How long a question is open unless it says otherwise, in milliseconds. Arbitrary: time to read
/// four options aloud.
pub const OPEN_MS_DEFAULT: u32 = 20_000;

/// What a question gives unless it says otherwise. Arbitrary: what players know from other quizzes.
pub const POINTS_DEFAULT: u32 = 1_000;

/// Up to a day of a stream.
const MEDIA_MS: std::ops::RangeInclusive<u32> = 0..=86_400_000;

/// How far a stream may be behind.
const MEDIA_WINDOW_MS: std::ops::RangeInclusive<u32> = 0..=120_000;
/// 30 s: players of HLS stay three segments behind its end (RFC 8216, section 6.3.3), which are six seconds
/// long as a rule, and the encoder and the network come on top.
pub const MEDIA_WINDOW_MS_DEFAULT: u32 = 30_000;

/// The fields of a show.
const SHOW: [&str; 8] = [
    "format",
    "title",
    "autopilot_seconds",
    "lobby_seconds",
    "scoring",
    "teams",
    "entry",
    "questions",
];

/// The fields of every question beside its text, whatever its kind.
const COMMON: [&str; 8] = [
    "seconds",
    "points",
    "explanation",
    "image",
    "media_seconds",
    "media_window_seconds",
    "scoring",
    "kind",
];
