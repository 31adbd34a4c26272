//! Lines to tables: a column for every field, in a fixed order, fields that are new to this version last.

use crdt_state::Stage;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The tables of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct Tables {
    /// One row per answer that is held.
    pub answers: Table,
    /// One row per player.
    pub players: Table,
    /// One row per run of a question.
    pub questions: Table,
    /// One row per post.
    pub posts: Table,
    /// One row per post and player who supports it.
    pub votes: Table,
    /// One row per note of the audit trail.
    pub log: Table,
}

/// A table by columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// What its files are called.
    pub name: &'static str,
    /// In order.
    pub columns: Vec<Column>,
    /// How many rows every column has.
    pub rows: usize,
}

/// A column.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name of the field.
    pub name: String,
    /// Its values.
    pub cells: Cells,
}

/// Values of one type; absent ones are gaps.
#[derive(Debug, Clone, PartialEq)]
pub enum Cells {
    /// Whole numbers.
    Whole(Vec<Option<i64>>),
    /// Numbers with decimals.
    Real(Vec<Option<f64>>),
    /// True or false.
    Flag(Vec<Option<bool>>),
    /// Texts, and everything that is no single number or truth.
    Text(Texts),
}

/// Many texts in one piece of memory.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Texts {
    text: String,
    /// Where each ends, and whether it is there at all.
    ends: Vec<(usize, bool)>,
}

impl Texts {
    /// The text of a row.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&str> {
        let (end, present) = *self.ends.get(row)?;
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before].0);
        present.then(|| &self.text[start..end])
    }

    fn push(&mut self, text: Option<&str>) {
        self.text.push_str(text.unwrap_or_default());
        self.ends.push((self.text.len(), text.is_some()));
    }
}

/// A line that is not one of an export.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is no line of an export: {message}")]
pub struct LineError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// The lines of an export, each an object.
///
/// # Errors
/// The first line that is none.
pub(super) fn objects(
    lines: &str,
) -> impl Iterator<Item = Result<Map<String, Value>, LineError>> + '_ {
    lines.lines().enumerate().map(|(index, line)| {
        serde_json::from_str(line)
            .map_err(|error| LineError { line: index + 1, message: error.to_string() })
    })
}

impl Tables {
    /// The tables of an export.
    ///
    /// # Errors
    /// The first line that is not one of an export.
    pub fn read(lines: &str) -> Result<Self, LineError> {
        let mut building = Building::default();
        for object in objects(lines) {
            building.take(object?);
        }
        Ok(building.done())
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Table> {
        let Tables { answers, players, questions, posts, votes, log } = self;
        [answers, players, questions, posts, votes, log].into_iter()
    }
}

/// Tables that are being read.
#[derive(Default)]
struct Building {
    answers: Rows,
    players: Rows,
    questions: Rows,
    posts: Rows,
    votes: Rows,
    log: Rows,
    /// Names by player, and by instance the question and how complete its result is: what players gave is read
    /// with both beside it.
    names: BTreeMap<String, String>,
    runs: BTreeMap<u64, Map<String, Value>>,
    /// What posts say, by run and id: votes are read with it beside them.
    said: BTreeMap<(u64, String), String>,
    /// How complete the leaderboard is, and who is missing from it: a table of players says so in every row.
    coverage: Map<String, Value>,
    /// The question whose tally comes next.
    pending: Option<Map<String, Value>>,
}

impl Building {
    fn take(&mut self, mut object: Map<String, Value>) {
        let kind = object.remove("type");
        match kind.as_ref().and_then(Value::as_str).unwrap_or_default() {
            "event" => {
                self.coverage = coverage_of(&object);
            }
            "question" => {
                self.flush();
                if let Some((instance, text)) = instance_of(&object).zip(text_of(&object, "text")) {
                    let mut run = coverage_of(&object);
                    run.insert("question".to_owned(), text.into());
                    self.runs.insert(instance, run);
                }
                self.pending = Some(object);
            }
            "tally" => self.tally(object),
            "player" => {
                if let Some((player, name)) =
                    text_of(&object, "player").zip(text_of(&object, "name"))
                {
                    self.names.insert(player, name);
                }
                // How nodes keep a player is nothing to a reader of tables.
                object.remove("rows");
                object.extend(self.coverage.clone());
                self.players.push(&object);
            }
            "answer" | "given" => {
                let answer = self.named(object);
                self.answers.push(&answer);
            }
            "post" => self.post(object),
            "vote" => self.vote(object),
            "note" => self.note(object),
            _ => {}
        }
    }

    fn tally(&mut self, mut tally: Map<String, Value>) {
        if let Some(question) = &mut self.pending
            && question.get("instance") == tally.get("instance")
        {
            tally.remove("instance");
            let counts = tally.remove("counts").unwrap_or_default();
            question.insert("tally".to_owned(), counts);
            question.extend(tally);
        }
        self.flush();
    }

    fn post(&mut self, post: Map<String, Value>) {
        if let Some((key, text)) = post_of(&post).zip(text_of(&post, "text")) {
            self.said.insert(key, text);
        }
        let post = self.named(post);
        self.posts.push(&post);
    }

    fn vote(&mut self, mut vote: Map<String, Value>) {
        let text = post_of(&vote).and_then(|key| self.said.get(&key));
        vote.extend(text.map(|text| ("text".to_owned(), text.clone().into())));
        let vote = self.named(vote);
        self.votes.push(&vote);
    }

    /// A player's line with the player's name beside it, the question, and how complete its result is.
    fn named(&self, mut line: Map<String, Value>) -> Map<String, Value> {
        let name = text_of(&line, "player").and_then(|player| self.names.get(&player));
        if let Some(name) = name {
            line.insert("name".to_owned(), name.clone().into());
        }
        let run = instance_of(&line).and_then(|instance| self.runs.get(&instance));
        line.extend(run.cloned().unwrap_or_default());
        line
    }

    /// A note, its stage in two columns. A show that is over is in no run.
    fn note(&mut self, mut note: Map<String, Value>) {
        if let Some(Value::Object(mut stage)) = note.remove("stage") {
            note.extend(stage.remove("phase").map(|phase| ("phase".to_owned(), phase)));
            let run = stage.remove("instance").filter(|run| *run != Stage::LAST);
            note.extend(run.map(|run| ("instance".to_owned(), run)));
        }
        self.log.push(&note);
    }

    fn flush(&mut self) {
        if let Some(question) = self.pending.take() {
            self.questions.push(&question);
        }
    }

    fn done(mut self) -> Tables {
        self.flush();
        Tables {
            answers: self.answers.done("answers", &ANSWER_FIELDS),
            players: self.players.done("players", &PLAYER_FIELDS),
            questions: self.questions.done("questions", &QUESTION_FIELDS),
            posts: self.posts.done("posts", &POST_FIELDS),
            votes: self.votes.done("votes", &VOTE_FIELDS),
            log: self.log.done("log", &LOG_FIELDS),
        }
    }
}

fn text_of(object: &Map<String, Value>, field: &str) -> Option<String> {
    object.get(field)?.as_str().map(str::to_owned)
}

/// What says how complete a result is.
fn coverage_of(object: &Map<String, Value>) -> Map<String, Value> {
    let told = ["status", "missing"].iter().filter_map(|field| object.get_key_value(*field));
    told.map(|(field, value)| (field.clone(), value.clone())).collect()
}

/// The run and the id of the post that a line is about.
fn post_of(object: &Map<String, Value>) -> Option<(u64, String)> {
    instance_of(object).zip(text_of(object, "post"))
}

fn instance_of(object: &Map<String, Value>) -> Option<u64> {
    object.get("instance")?.as_u64()
}

/// Columns that are being filled.
#[derive(Default)]
struct Rows {
    columns: BTreeMap<String, Cells>,
    rows: usize,
}

impl Rows {
    fn push(&mut self, object: &Map<String, Value>) {
        for (name, value) in object {
            if !self.columns.contains_key(name) {
                self.columns.insert(name.clone(), Cells::gaps(value, self.rows));
            }
        }
        for (name, cells) in &mut self.columns {
            cells.push(object.get(name).unwrap_or(&Value::Null));
        }
        self.rows += 1;
    }

    /// The table, with columns for all of `fields` first, even where no row has one.
    fn done(mut self, name: &'static str, fields: &[&str]) -> Table {
        let rows = self.rows;
        let mut columns = Vec::with_capacity(self.columns.len());
        for field in fields {
            let cells = self.columns.remove(*field);
            let cells = cells.unwrap_or_else(|| Cells::gaps(&Value::Null, rows));
            columns.push(Column { name: (*field).to_owned(), cells });
        }
        columns.extend(self.columns.into_iter().map(|(name, cells)| Column { name, cells }));
        Table { name, columns, rows }
    }
}

impl Cells {
    /// A column of the type of `value` that has been absent so far.
    fn gaps(value: &Value, rows: usize) -> Self {
        match value {
            Value::Bool(_) => Cells::Flag(vec![None; rows]),
            Value::Number(number) if number.is_i64() => Cells::Whole(vec![None; rows]),
            Value::Number(number) if number.is_f64() => Cells::Real(vec![None; rows]),
            _ => Cells::Text(Texts { text: String::new(), ends: vec![(0, false); rows] }),
        }
    }

    fn push(&mut self, value: &Value) {
        match (&mut *self, value) {
            (Cells::Whole(cells), Value::Null) => cells.push(None),
            (Cells::Real(cells), Value::Null) => cells.push(None),
            (Cells::Flag(cells), Value::Null) => cells.push(None),
            (Cells::Whole(cells), Value::Number(number)) if number.is_i64() => {
                cells.push(number.as_i64());
            }
            (Cells::Whole(cells), Value::Number(number)) if number.is_f64() => {
                let real = |cell: &Option<i64>| cell.map(|number| number as f64);
                *self = Cells::Real(cells.iter().map(real).collect());
                self.push(value);
            }
            (Cells::Real(cells), Value::Number(number)) => cells.push(number.as_f64()),
            (Cells::Flag(cells), Value::Bool(flag)) => cells.push(Some(*flag)),
            (Cells::Text(cells), value) => cells.push(in_words(value).as_deref()),
            (_, value) => {
                *self = self.as_texts();
                self.push(value);
            }
        }
    }

    /// The same column for values of more than one type.
    fn as_texts(&self) -> Cells {
        let mut texts = Texts::default();
        for row in 0..self.len() {
            texts.push(self.in_words(row).as_deref());
        }
        Cells::Text(texts)
    }

    fn len(&self) -> usize {
        match self {
            Cells::Whole(cells) => cells.len(),
            Cells::Real(cells) => cells.len(),
            Cells::Flag(cells) => cells.len(),
            Cells::Text(texts) => texts.ends.len(),
        }
    }

    /// A cell as a person reads it.
    pub(super) fn in_words(&self, row: usize) -> Option<String> {
        match self {
            Cells::Whole(cells) => cells[row].map(|number| number.to_string()),
            Cells::Real(cells) => cells[row].map(|number| number.to_string()),
            Cells::Flag(cells) => cells[row].map(|flag| flag.to_string()),
            Cells::Text(texts) => texts.get(row).map(str::to_owned),
        }
    }
}

/// Lists of plain values with semicolons between; whatever is deeper as JSON.
fn in_words(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(list) if list.iter().all(|each| !each.is_array() && !each.is_object()) => {
            let words = list.iter().map(|each| in_words(each).unwrap_or_default());
            Some(words.collect::<Vec<_>>().join(";"))
        }
        other => Some(other.to_string()),
    }
}

const ANSWER_FIELDS: [&str; 10] = [
    "instance",
    "question",
    "player",
    "name",
    "choices",
    "elapsed_ms",
    "correct",
    "points",
    "words",
    "status",
];
const POST_FIELDS: [&str; 10] = [
    "instance",
    "question",
    "player",
    "name",
    "elapsed_ms",
    "text",
    "votes",
    "fate",
    "post",
    "status",
];
const VOTE_FIELDS: [&str; 7] = ["instance", "question", "post", "text", "player", "name", "status"];
const LOG_FIELDS: [&str; 9] =
    ["lamport", "wall_ms", "node", "by", "act", "of", "instance", "phase", "origin"];
const PLAYER_FIELDS: [&str; 6] = ["rank", "player", "name", "points", "correct_ms", "status"];
const QUESTION_FIELDS: [&str; 13] = [
    "instance", "number", "text", "options", "correct", "tally", "open_ms", "points", "status",
    "revision", "answer", "kind", "voided",
];
