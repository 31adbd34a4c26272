//! Results in every format, read back by other hands, and the proof of them.

use super::*;
use crate::engine::{Claim, EventCore, Identity, Input, Output, Reply, Rules};
use crate::service::view::{Command, CommandRequest};
use calamine::{Data, Reader, Xlsx};
use clap::ValueEnum;
use crdt_state::engagement::{Given, qa};
use crdt_state::event::Fate;
use crdt_state::{EventId, Mono, NodeId, Origin, Phase, PlayerId, Row};
use gossip::replication::Config;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::{Value, json};
use std::fs;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

const SHOW: &str = r#"{"format": "starling-show/1", "title": "Sums, \"fast\"", "questions": [
    {"text": "1 + 1?", "options": ["1", "2", "3"], "correct": 1},
    {"text": "Even?", "options": ["2", "3", "4"], "correct": [0, 2], "multiple": true}]}"#;

/// One node that plays a show alone.
struct Show {
    core: EventCore,
    now: Mono,
    tickets: u64,
}

impl Show {
    fn ask(&mut self, input: impl FnOnce(u64) -> Input) -> Reply {
        self.tickets += 1;
        let wanted = self.tickets;
        self.core.handle_input(self.now, input(wanted));
        for _ in 0..1_000 {
            self.core.settle(self.now);
            while let Some(output) = self.core.poll_output() {
                if let Output::Reply { ticket, reply } = output
                    && ticket == wanted
                {
                    return reply;
                }
            }
            self.now += Duration::from_millis(10);
        }
        panic!("no reply in ten seconds");
    }

    fn command(&mut self, command: Command) {
        self.say(command, None);
    }

    fn say(&mut self, command: Command, player: Option<PlayerId>) {
        let expected = crate::engine::stage_view(self.core.state().stage());
        let request = CommandRequest { player, ..CommandRequest::new(command, expected) };
        let request = Box::new(request);
        let reply = self.ask(|ticket| Input::Command { ticket, request });
        assert!(matches!(reply, Reply::Commanded(_)), "{command:?}: {reply:?}");
    }

    fn join(&mut self, id: u128, name: &str) -> Row {
        let (player, name) = (PlayerId(id), name.to_owned());
        match self.ask(|ticket| Input::Join { ticket, player, name, abuse: None }) {
            Reply::Joined { row, .. } => row,
            other => panic!("{other:?}"),
        }
    }

    fn answer(&mut self, id: u128, row: Row, instance: u32, choices: &[u8]) {
        self.give(id, row, instance, Given::choices(choices));
    }

    fn give(&mut self, id: u128, row: Row, instance: u32, given: Given) {
        let claim = Claim { player: PlayerId(id), row, name: "x".into() };
        let reply = self.ask(|ticket| Input::Answer { ticket, claim, instance, given });
        assert!(matches!(reply, Reply::Answered(_)), "{reply:?}");
    }
}

/// A show with its lobby open.
fn opened(show: &str) -> Show {
    let identity = Identity {
        event: EventId(0xe),
        node: NodeId(1),
        name: "n1".into(),
        origin: Origin(1 << 60),
        born_ms: 0,
    };
    let core = EventCore::new(identity, Rules::default(), Config::default());
    let script = crate::show::parse(show).expect("it is a show");
    let mut show = Show { core, now: Duration::from_secs(10), tickets: 0 };
    show.ask(|ticket| Input::Create { ticket, script });
    show.command(Command::Lobby);
    show
}

/// A show of two questions, three players and names that spreadsheets like to run.
fn played() -> EventCore {
    let mut show = opened(SHOW);
    let ada = show.join(1, "Ada, \"the\" first");
    let eve = show.join(2, "=1+1");
    show.join(3, "Zoë");
    for instance in 1..=2 {
        show.command(Command::Next);
        show.command(Command::Open);
        show.now += Duration::from_millis(2_000);
        show.answer(1, ada, instance, &[1]);
        show.now += Duration::from_millis(500);
        show.answer(2, eve, instance, if instance == 1 { &[2] } else { &[0, 2] });
        show.command(Command::Close);
        show.command(Command::Tallies);
        show.command(Command::Reveal);
    }
    show.core
}

fn lines() -> String {
    String::from_utf8(played().export("123456").into()).expect("text")
}

fn file(format: Format, name: &str) -> Vec<u8> {
    let all = files(&lines(), format).expect("all is well");
    all.into_iter().find(|(known, _)| known == name).expect("the file is made").1
}

#[test]
fn csv_has_a_row_per_answer_player_and_question() {
    let answers = String::from_utf8(file(Format::Csv, "answers.csv")).unwrap();
    let mut rows = answers.split("\r\n");
    let header = "instance,question,player,name,choices,elapsed_ms,correct,points,words,status";
    assert_eq!(rows.next(), Some(header));
    let first = rows.next().unwrap();
    assert!(first.starts_with("1,1 + 1?,"), "{first}");
    assert!(first.contains(",\"Ada, \"\"the\"\" first\",1,2"), "{first}");
    assert_eq!(answers.lines().count(), 5, "two players answered two questions");
    assert!(answers.lines().skip(1).all(|row| row.ends_with(",final")), "{answers}");
    let players = String::from_utf8(file(Format::Csv, "players.csv")).unwrap();
    assert_eq!(players.lines().count(), 4);
    assert!(players.contains(",'=1+1,"), "the formula is defused: {players}");
    assert!(players.lines().skip(1).all(|row| row.ends_with(",final")), "{players}");
    let questions = String::from_utf8(file(Format::Csv, "questions.csv")).unwrap();
    assert!(questions.contains("Even?,2;3;4,0;2,1;1;1,"), "{questions}");
}

#[test]
fn what_begins_like_a_formula_is_defused_and_numbers_are_not() {
    for name in ["=1", "+1", "-1", "@x", "  =1", "\t=1", "＝1"] {
        assert!(text::is_formula(name), "{name:?}");
    }
    for name in ["a=1", "1-1", "Zoë", ""] {
        assert!(!text::is_formula(name), "{name:?}");
    }
    let line = r#"{"type":"player","player":"1","name":"-5","points":-5}"#;
    let csv = files(line, Format::Csv).unwrap().remove(1);
    let text = String::from_utf8(csv.1).unwrap();
    assert_eq!(text.lines().nth(1), Some(",1,'-5,-5,,"), "{text}");
    let line = r#"{"type":"player","player":"1","name":"x;=1+1; @y;z"}"#;
    let text = String::from_utf8(files(line, Format::Csv).unwrap().remove(1).1).unwrap();
    assert_eq!(
        text.lines().nth(1),
        Some(",1,x;'=1+1;' @y;z,,,"),
        "also behind a semicolon: {text}"
    );
}

#[test]
fn a_workbook_is_read_back_with_texts_as_texts() {
    let bytes = file(Format::Xlsx, "event.xlsx");
    let mut workbook: Xlsx<_> = calamine::open_workbook_from_rs(Cursor::new(&bytes)).unwrap();
    assert_eq!(
        workbook.sheet_names(),
        ["answers", "players", "questions", "posts", "votes", "log"]
    );
    let players = workbook.worksheet_range("players").unwrap();
    let names: Vec<&Data> = players.rows().skip(1).map(|row| &row[2]).collect();
    let formula = Data::String("=1+1".into());
    assert!(names.contains(&&formula) && names.contains(&&Data::String("Zoë".into())), "{names:?}");
    assert!(workbook.worksheet_formula("players").unwrap().is_empty(), "nothing is ever run");
    let points = workbook.worksheet_range("answers").unwrap();
    assert!(matches!(points.get_value((1, 7)), Some(Data::Float(points)) if *points > 0.0));
    assert_eq!(bytes, file(Format::Xlsx, "event.xlsx"), "equal results are equal bytes");
}

#[test]
fn parquet_is_read_back_row_by_row() {
    let bytes = bytes::Bytes::from(file(Format::Parquet, "answers.parquet"));
    let reader = SerializedFileReader::new(bytes).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 4);
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    let columns: Vec<(String, Field)> =
        rows[0].get_column_iter().map(|(name, field)| (name.clone(), field.clone())).collect();
    let field = |name: &str| &columns.iter().find(|(known, _)| known == name).unwrap().1;
    assert_eq!(field("name"), &Field::Str("Ada, \"the\" first".into()));
    assert_eq!(field("correct"), &Field::Bool(true));
    assert!(matches!(field("elapsed_ms"), Field::Long(2_000..2_600)), "{columns:?}");
}

#[test]
fn json_gathers_the_lines_by_type() {
    let document: Value = serde_json::from_slice(&file(Format::Json, "event.json")).unwrap();
    assert_eq!(document["event"]["title"], "Sums, \"fast\"");
    let notes = document["notes"].as_array().expect("the audit trail").iter();
    let acts: Vec<_> = notes.map(|note| note["act"].as_str().expect("a word")).collect();
    assert_eq!(acts[..4], ["create", "lobby", "intro", "open"]);
    let count = |name: &str| document[name].as_array().map(Vec::len);
    let counts = ["questions", "tallies", "players", "answers"].map(count);
    assert_eq!(counts, [Some(2), Some(2), Some(3), Some(4)]);
}

#[test]
fn fields_of_later_versions_become_columns_and_mixed_types_texts() {
    let lines = "{\"type\":\"player\",\"player\":\"1\",\"team\":1}\n\
        {\"type\":\"player\",\"player\":\"2\",\"team\":\"red\",\"lives\":3}\n{\"type\":\"news\"}\n";
    let tables = Tables::read(lines).unwrap();
    let names: Vec<&str> = tables.players.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        names,
        ["rank", "player", "name", "points", "correct_ms", "status", "lives", "team"]
    );
    let team = &tables.players.columns[7].cells;
    assert_eq!((team.in_words(0), team.in_words(1)), (Some("1".into()), Some("red".into())));
    let error = Tables::read("{\"type\":\"event\"}\nnonsense").unwrap_err();
    assert_eq!(error.line, 2);
}

const ALL_SORTS: &str = r#"{"format": "starling-show/1", "title": "All sorts", "questions": [
    {"text": "How high?", "min": 0, "max": 9000, "step": 0.5, "correct": 330, "within": 100, "unit": "m"},
    {"kind": "prediction", "text": "Who wins?", "options": ["Home", "Away"]},
    {"kind": "survey", "text": "Well?", "items": [{"text": "Long?", "options": ["Yes", "No"]}], "comment": true},
    {"kind": "qa", "text": "Ask", "moderated": true, "posts": 3},
    {"kind": "elimination", "text": "Up?", "options": ["y", "n"], "correct": 0, "lives": 2}]}"#;

/// A show of what is more than a choice: Ada plays, Bea supports her post and is silent else.
fn all_sorts() -> EventCore {
    let mut show = opened(ALL_SORTS);
    let (ada, bea) = (show.join(1, "Ada"), show.join(2, "Bea"));
    let nothing = Given::default;
    let text = |text: &str| Some(text.to_owned());
    let given = [
        Given { number: Some(320.5), ..nothing() },
        Given { stake: Some(60), ..Given::choices(&[1]) },
        Given { text: text("=fine"), ..Given::choices(&[1]) },
        Given { text: text("Why?"), ..nothing() },
        Given::choices(&[1]),
    ];
    for (instance, given) in (1..).zip(given) {
        show.command(Command::Next);
        show.command(Command::Open);
        show.give(1, ada, instance, given);
        if instance == 4 {
            let post = qa::post_id(instance, PlayerId(1), "Why?");
            let expected = crate::engine::stage_view(show.core.state().stage());
            let request = CommandRequest::new(Command::Moderate, expected);
            let (name, fate) = (Some(format!("{post:016x}")), Some(Fate::Shown));
            let request = Box::new(CommandRequest { post: name, fate, ..request });
            show.ask(|ticket| Input::Command { ticket, request });
            show.give(2, bea, instance, Given { post: Some(post), ..nothing() });
        }
        show.command(Command::Close);
        show.command(Command::Tallies);
        let (_, question) = show.core.state().question_of(instance).expect("it is shown");
        if question.task.phases().contains(&Phase::Reveal) {
            show.command(Command::Reveal);
        }
    }
    show.command(Command::End);
    show.core
}

#[test]
fn what_was_given_is_in_the_lines_whatever_it_is() {
    let lines = String::from_utf8(all_sorts().export("123456").into()).expect("text");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str, instance: u32| {
        let found = lines.iter().find(|line| line["type"] == kind && line["instance"] == instance);
        found.unwrap_or_else(|| panic!("round {instance} has no {kind}")).clone()
    };
    let estimate = of("answer", 1);
    assert_eq!((&estimate["estimate"], &estimate["words"]), (&json!(320.5), &json!("320.5 m")));
    let bet = of("answer", 2);
    assert_eq!((&bet["stake"], &bet["choices"]), (&json!(60), &json!([1])));
    assert_eq!(bet["words"], "60 on Away");
    let survey = of("answer", 3);
    assert!(survey.get("correct").is_none() && bet.get("correct").is_none(), "{survey} {bet}");
    assert!(of("question", 3).get("points").is_none() && estimate["correct"] == true);
    assert_eq!(
        (&survey["text"], &survey["words"]),
        (&json!("=fine"), &json!("Long?: No; \"=fine\""))
    );
    let post = of("post", 4);
    assert_eq!((&post["player"], &post["text"]), (&json!(PlayerId(1)), &json!("Why?")));
    assert_eq!((&post["votes"], &post["fate"]), (&json!(1), &json!("shown")));
    assert!(post["elapsed_ms"].is_u64(), "{post}");
    let vote = of("vote", 4);
    assert_eq!((&vote["player"], &vote["post"]), (&json!(PlayerId(2)), &post["post"]));
    let (lost, silent) = (of("answer", 5), of("given", 5));
    assert_eq!((&lost["lives"], &lost["revived"]), (&json!(1), &json!(0)));
    assert_eq!((&silent["player"], &silent["lives"]), (&json!(PlayerId(2)), &json!(1)));
}

#[test]
fn posts_votes_and_the_audit_trail_have_a_table_each_in_every_format() {
    let lines = String::from_utf8(all_sorts().export("123456").into()).expect("text");
    let made = |format, name: &str| {
        let all = files(&lines, format).expect("all is well");
        all.into_iter().find(|(known, _)| known == name).expect("the file is made").1
    };
    let posts = String::from_utf8(made(Format::Csv, "posts.csv")).unwrap();
    let mut rows = posts.split("\r\n");
    let header = "instance,question,player,name,elapsed_ms,text,votes,fate,post,status";
    assert_eq!(rows.next(), Some(header));
    let post = rows.next().expect("there is one");
    assert!(post.starts_with("4,Ask,") && post.contains(",Ada,"), "{post}");
    assert!(post.contains(",Why?,1,shown,") && post.ends_with(",final"), "{post}");
    let votes = String::from_utf8(made(Format::Csv, "votes.csv")).unwrap();
    let mut rows = votes.split("\r\n");
    assert_eq!(rows.next(), Some("instance,question,post,text,player,name,status"));
    let vote = rows.next().expect("there is one");
    assert!(vote.starts_with("4,Ask,") && vote.ends_with(",Bea,final"), "{vote}");
    assert!(vote.contains(&format!(",Why?,{},", PlayerId(2))), "{vote}");
    assert_eq!(rows.next(), Some(""), "and no other");
    let log = String::from_utf8(made(Format::Csv, "log.csv")).unwrap();
    assert!(log.starts_with("lamport,wall_ms,node,by,act,of,instance,phase,origin\r\n"), "{log}");
    let acts: Vec<&str> = log.lines().skip(1).map(|row| row.split(',').nth(4).unwrap()).collect();
    let notes = lines.lines().filter(|line| line.contains("\"type\":\"note\"")).count();
    assert_eq!((acts.len(), acts[0], acts[acts.len() - 1]), (notes, "create", "ended"), "{log}");
    assert!(log.lines().last().expect("a row").contains(",,ended,"), "it is in no run: {log}");
    let bytes = made(Format::Xlsx, "event.xlsx");
    let mut workbook: Xlsx<_> = calamine::open_workbook_from_rs(Cursor::new(&bytes)).unwrap();
    assert_eq!(workbook.worksheet_range("log").unwrap().rows().count(), notes + 1);
    let answers = workbook.worksheet_range("answers").unwrap();
    let column =
        answers.rows().next().unwrap().iter().position(|it| *it == Data::String("estimate".into()));
    assert_eq!(
        answers.get_value((1, column.expect("it is there") as u32)),
        Some(&Data::Float(320.5))
    );
    for (name, rows) in [("log.parquet", notes), ("posts.parquet", 1), ("votes.parquet", 1)] {
        let bytes = bytes::Bytes::from(made(Format::Parquet, name));
        let reader = SerializedFileReader::new(bytes).unwrap();
        assert_eq!(reader.metadata().file_metadata().num_rows(), rows as i64, "{name}");
    }
}

#[test]
fn numbers_with_decimals_are_numbers_wherever_the_first_of_them_stands() {
    let lines = "{\"type\":\"answer\",\"estimate\":3}\n{\"type\":\"answer\"}\n\
        {\"type\":\"answer\",\"estimate\":2.5}\n";
    let tables = Tables::read(lines).unwrap();
    let column = tables.answers.columns.iter().find(|it| it.name == "estimate").unwrap();
    assert_eq!(column.cells, table::Cells::Real(vec![Some(3.0), None, Some(2.5)]));
}

/// How the line of a vote ends, and no other.
const BEA: &str = "\"player\":\"00000000000000000000000000000002\"}";
const ADA: &str = "\"player\":\"00000000000000000000000000000001\"}";

#[test]
fn a_forged_post_stake_or_life_is_found() {
    let proof = all_sorts().proof(Duration::from_secs(60), "123456").expect("it is over");
    for (what, from, to) in [
        ("words", "320.5 m", "330 m"),
        ("an estimate", "\"estimate\":320.5", "\"estimate\":330"),
        ("a stake", "\"stake\":60", "\"stake\":61"),
        ("a comment", "\"text\":\"=fine\"", "\"text\":\"=mine\""),
        ("a post", "\"text\":\"Why?\"", "\"text\":\"How?\""),
        ("a vote", "\"votes\":1", "\"votes\":9"),
        ("a voter", BEA, ADA),
        ("a fate", "\"fate\":\"shown\"", "\"fate\":\"hidden\""),
        ("a life", "\"lives\":1", "\"lives\":2"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        crate::cli::write_folder(&proof, &[], folder.path()).unwrap();
        assert_eq!(differences(folder.path()), Vec::<String>::new());
        let path = folder.path().join(LINES);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{what}: {text}");
        fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let found = differences(folder.path());
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        assert!(found[0].starts_with(LINES), "{what}: {found:?}");
    }
}

const RAFFLE: &str = r#"{"format": "starling-show/1", "title": "Luck", "questions": [
    {"kind": "raffle", "text": "A ticket", "winners": 2, "points": 100}]}"#;

/// A raffle of six, one of whom was kicked when it was over.
fn drawn() -> EventCore {
    let mut show = opened(RAFFLE);
    let rows: Vec<_> = (1..=6).map(|id| (id, show.join(id, &format!("Player {id}")))).collect();
    show.command(Command::Open);
    for (id, row) in rows {
        show.answer(id, row, 1, &[]);
    }
    for command in [Command::Close, Command::Tallies] {
        show.command(command);
    }
    let before = String::from_utf8(show.core.export("123456").into()).expect("text");
    for hidden in ["commitment", "salt", "\"key\""] {
        assert!(!before.contains(hidden), "before the reveal: {before}");
    }
    show.command(Command::Reveal);
    show.say(Command::Kick, Some(PlayerId(3)));
    show.command(Command::End);
    show.core
}

fn sha256(text: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As the document tells it to somebody who has nothing but the lines.
#[test]
fn a_raffle_can_be_drawn_again_from_the_lines_alone() {
    let core = drawn();
    let lines = String::from_utf8(core.export("123456").into()).expect("text");
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &'static str| lines.iter().filter(move |line| line["type"] == kind);
    let question = of("question").next().expect("it was asked");
    let text = |name: &str| question[name].as_str().unwrap_or_else(|| panic!("{name}: {question}"));
    assert_eq!(sha256(&format!("{}:{}", text("salt"), text("key"))), text("commitment"));
    let ticket = |answer: &Value| {
        sha256(&format!("starling-ticket:{}", answer["player"].as_str().expect("an id")))
    };
    let out: Vec<String> = serde_json::from_value(question["out"].clone()).expect("a list");
    assert_eq!(out, [sha256(&format!("starling-ticket:{}", PlayerId(3)))]);
    let mut tickets: Vec<String> = of("answer").map(ticket).chain(out.clone()).collect();
    tickets.sort();
    assert_eq!(tickets.len(), 6);
    let seed = sha256(&format!("{}:{}", text("salt"), sha256(&tickets.join("\n"))));
    let mut lots = tickets.clone();
    lots.sort_by_key(|ticket| sha256(&format!("{seed}:{ticket}")));
    lots.retain(|ticket| !out.contains(ticket));
    let mut won: Vec<String> =
        of("answer").filter(|answer| answer["points"] == 100).map(ticket).collect();
    assert_eq!(won.len(), 2);
    lots.truncate(2);
    let record = core.entrants(1).expect("it was drawn").record();
    assert_eq!((&record.drawn, &record.tickets, &record.out), (&lots, &tickets, &out));
    lots.sort();
    won.sort();
    assert_eq!(won, lots);
}

#[test]
fn a_folder_gives_the_record_of_a_raffle_whatever_its_size() {
    let core = drawn();
    let proof = core.proof(Duration::from_secs(60), "123456").expect("it is over");
    let folder = tempfile::tempdir().unwrap();
    crate::cli::write_folder(&proof, &[Format::Csv], folder.path()).unwrap();
    assert_eq!(differences(folder.path()), Vec::<String>::new());
    let record = raffle(folder.path(), 1).expect("it was drawn");
    assert_eq!(record, core.entrants(1).expect("it was drawn").record());
    assert!(matches!(raffle(folder.path(), 2), Err(ReplayError::Raffle(2))));
    let header = fs::read_to_string(folder.path().join("questions.csv")).unwrap();
    let header = header.lines().next().unwrap().to_owned();
    assert!(header.ends_with("revision,answer,kind,voided,commitment,key,out,salt"), "{header}");
}

#[test]
fn a_draw_that_is_void_is_told_so_by_name() {
    let mut show = opened(RAFFLE);
    let ada = show.join(1, "Ada");
    show.command(Command::Open);
    show.answer(1, ada, 1, &[]);
    for command in [Command::Close, Command::Tallies, Command::Reveal, Command::Void, Command::End]
    {
        show.command(command);
    }
    let proof = show.core.proof(Duration::from_secs(60), "123456").expect("it is over");
    let folder = tempfile::tempdir().unwrap();
    crate::cli::write_folder(&proof, &[], folder.path()).unwrap();
    let record = raffle(folder.path(), 1).expect("it was drawn");
    assert!(record.voided && record.drawn.len() == 1, "{record:?}");
    assert_eq!(record.commitment, sha256(&format!("{}:{}", record.salt, record.key)));
    let replayed = replay(folder.path()).unwrap();
    assert!(replayed.differences.is_empty(), "{:?}", replayed.differences);
    let [aside] = &replayed.aside[..] else { panic!("one: {:?}", replayed.aside) };
    let told = "round 1, the raffle \"A ticket\", is void: whoever was drawn gets nothing";
    assert_eq!(aside.to_string(), told);
    assert!(!drawn().entrants(1).expect("it was drawn").record().voided);
    let question: Value = serde_json::from_str(proof.lines.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&question["voided"], &question["answer"]), (&json!(true), &json!("")));
}

/// The folder that a host gets.
fn folder() -> tempfile::TempDir {
    let proof = played().proof(Duration::from_secs(60), "123456").expect("all is revealed");
    let proof = Proof::decode(&String::from_utf8(proof.encode()).unwrap()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    crate::cli::write_folder(&proof, Format::value_variants(), folder.path()).unwrap();
    folder
}

fn differences(folder: &Path) -> Vec<String> {
    let replayed = replay(folder).expect("it can be folded");
    replayed.differences.iter().map(ToString::to_string).collect()
}

#[test]
fn an_export_folds_again_to_the_byte() {
    let folder = folder();
    assert_eq!(differences(folder.path()), Vec::<String>::new());
    let replayed = replay(folder.path()).unwrap();
    assert_eq!((replayed.lines, replayed.compared), (lines(), 16));
    assert!(!replayed.manifest.heads.is_empty());
}

#[test]
fn every_changed_byte_is_found_and_named() {
    // Of what is read and not only compared, a byte can change more than one file, or the reading.
    let is_read = |name: &str| [STATE, MANIFEST].contains(&name);
    for entry in fs::read_dir(folder().path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let folder = folder();
        let path = folder.path().join(&name);
        let intact = fs::read(&path).unwrap();
        for at in [0, intact.len() / 2, intact.len() - 1] {
            let mut bytes = intact.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            match replay(folder.path()) {
                Ok(found) if is_read(&name) => {
                    assert!(!found.differences.is_empty(), "{name} {at}");
                }
                Ok(found) => {
                    assert_eq!(found.differences.len(), 1, "{name} {at}");
                    let found = &found.differences[0];
                    assert_eq!((found.file.as_str(), found.byte), (name.as_str(), at), "{found}");
                }
                Err(error) => assert!(is_read(&name), "{name} {at}: {error}"),
            }
        }
    }
}

#[test]
fn a_result_changed_together_with_its_hash_is_still_found() {
    let folder = folder();
    let path = folder.path().join(LINES);
    let text = fs::read_to_string(&path).unwrap();
    let changed = text.replacen("\"rank\":1", "\"rank\":9", 1);
    assert_ne!(text, changed);
    let line = text.lines().position(|line| line.contains("\"rank\":1")).unwrap() + 1;
    fs::write(&path, &changed).unwrap();
    let mut manifest: Manifest =
        serde_json::from_slice(&fs::read(folder.path().join(MANIFEST)).unwrap()).unwrap();
    let file = manifest.files.iter_mut().find(|file| file.name == LINES).unwrap();
    *file = File::new(LINES, changed.as_bytes());
    fs::write(folder.path().join(MANIFEST), serde_json::to_vec(&manifest).unwrap()).unwrap();
    let found = differences(folder.path());
    assert!(found[0].starts_with(&format!("{LINES}:{line}: ")), "{found:?}");
    assert!(found[0].contains("rank\\\":9") && found[0].contains("rank\\\":1"), "{found:?}");
    assert!(found.len() == 2 && found[1].starts_with(MANIFEST), "its hash is another: {found:?}");
}

/// Changes what the manifest of a folder says.
fn forge(folder: &Path, change: impl FnOnce(&mut Manifest)) {
    let path = folder.join(MANIFEST);
    let mut manifest: Manifest = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    let text = serde_json::to_string_pretty(&manifest).unwrap() + "\n";
    fs::write(path, text).unwrap();
}

/// A folder with a file of its own making, listed with its right hash.
fn list(folder: &Path, name: &str) {
    fs::write(folder.join(name), "Cheat,99999").unwrap();
    forge(folder, |it| it.files.push(File::new(name, b"Cheat,99999")));
}

fn drop_entry(folder: &Path, name: &str) {
    forge(folder, |it| it.files.retain(|file| file.name != name));
}

type Forgery = (&'static str, &'static str, fn(&Path));

const FORGERIES: &[Forgery] = &[
    ("another schema", MANIFEST, |it| forge(it, |it| it.schema = 2)),
    ("another event", MANIFEST, |it| forge(it, |it| it.event = "f".repeat(16))),
    ("another title", MANIFEST, |it| forge(it, |it| it.title = "Another show entirely".into())),
    ("a better status", MANIFEST, |it| forge(it, |it| it.status = "final, certified".into())),
    ("another vector", MANIFEST, |it| forge(it, |it| it.heads[0].seq += 1)),
    ("a head less", MANIFEST, |it| forge(it, |it| drop(it.heads.pop()))),
    ("another hash", MANIFEST, |it| forge(it, |it| it.files[3].sha256 = "0".repeat(64))),
    ("a doubled entry", MANIFEST, |it| forge(it, |it| it.files.push(it.files[4].clone()))),
    ("another order", MANIFEST, |it| forge(it, |it| it.files.reverse())),
    ("an entry of no file", MANIFEST, |it| {
        forge(it, |it| it.files.push(File::new("winners.csv", b"")));
    }),
    ("the state off the list", MANIFEST, |it| drop_entry(it, STATE)),
    ("the lines off the list", MANIFEST, |it| drop_entry(it, LINES)),
    ("a forged table off the list", "players.csv", |it| {
        drop_entry(it, "players.csv");
        fs::write(it.join("players.csv"), "forged").unwrap();
    }),
    ("a workbook off the list", "event.xlsx", |it| drop_entry(it, "event.xlsx")),
    ("a renamed table", "players.csv", |it| {
        fs::rename(it.join("players.csv"), it.join("players.old")).unwrap();
    }),
    ("a table more, listed", "players (official).csv", |it| list(it, "players (official).csv")),
    ("a file more, unlisted", "winners.txt", |it| {
        fs::write(it.join("winners.txt"), "Cheat").unwrap();
    }),
    ("a folder more", "official", |it| fs::create_dir(it.join("official")).unwrap()),
];

#[test]
fn every_forgery_of_a_folder_is_found_and_named() {
    for (what, named, forge) in FORGERIES {
        let folder = folder();
        forge(folder.path());
        let replayed = replay(folder.path()).expect("it can be folded");
        let files: Vec<_> = replayed.differences.iter().map(|it| it.file.as_str()).collect();
        assert!(files.contains(named), "{what}: {files:?}");
        let told = (replayed.manifest.title.as_str(), replayed.manifest.status.as_str());
        assert_eq!(told, ("Sums, \"fast\"", "final"), "{what}: told from the fold");
    }
}

#[test]
fn a_folder_of_some_formats_or_with_a_hidden_file_is_whole() {
    let proof = played().proof(Duration::from_secs(60), "123456").expect("all is revealed");
    for formats in [&[Format::Csv][..], &[Format::Xlsx, Format::Parquet], &[]] {
        let folder = tempfile::tempdir().unwrap();
        crate::cli::write_folder(&proof, formats, folder.path()).unwrap();
        fs::write(folder.path().join(".DS_Store"), "a system's own").unwrap();
        assert_eq!(differences(folder.path()), Vec::<String>::new(), "{formats:?}");
    }
}

#[test]
fn a_format_has_the_files_that_it_names() {
    for format in Format::value_variants() {
        let made: Vec<_> = files(&lines(), *format).unwrap().into_iter().map(|it| it.0).collect();
        assert_eq!(made, format.names());
    }
}
