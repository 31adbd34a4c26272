//! What authors get back for files of every format, right and wrong.

use super::*;
use crate::show;
use crdt_state::engagement::quiz::Quiz;
use crdt_state::engagement::scoring::Partial;
use crdt_state::engagement::{Question, Task, TaskView};
use proptest::prelude::*;
use rust_xlsxwriter::Workbook;
use std::fmt::Write;

fn source<'a>(name: &'a str, bytes: &'a [u8]) -> Source<'a> {
    Source { bytes, name: Path::new(name), format: None, progress: None }
}

fn read(name: &str, bytes: impl AsRef<[u8]>) -> Import {
    let found = import(&source(name, bytes.as_ref()));
    found.unwrap_or_else(|found| panic!("{}", show::describe(&found, name)))
}

pub(super) fn problems(name: &str, bytes: impl AsRef<[u8]>) -> Vec<String> {
    let found = import(&source(name, bytes.as_ref())).expect_err("the file is wrong");
    let line = |p: &Problem| format!("{}:{} {}: {}", p.line, p.column, p.field, p.message);
    found.iter().map(line).collect()
}

fn question(text: &str, options: &[&str], correct: u32) -> Question {
    Question::choice(text, options.iter().map(ToString::to_string).collect(), correct)
}

fn correct_of(question: &Question) -> u32 {
    question.as_choice().expect("the question is a choice").1
}

const TOML: &str = r#"
format = "starling-show/1"
title = "Friday"
autopilot_seconds = 6

[[questions]]
text = "What is the capital of Peru?"
options = ["Quito", "Lima"]
correct = "Lima"
seconds = 12.5

[[questions]]
text = "Which are prime?"
options = ["2", "4", "7"]
correct = [0, 2]
multiple = true
"#;

#[test]
fn a_show_in_toml_is_the_show_in_json() {
    let Import { script, format, .. } = read("friday.toml", TOML);
    assert_eq!((format, script.title.as_str()), (Format::Toml, "Friday"));
    let again = show::parse(&show::to_json(&script)).expect("it is a show");
    assert_eq!(again, script);
    assert_eq!((script.questions[0].open_ms, correct_of(&script.questions[1])), (12_500, 0b101));
}

#[test]
fn problems_in_toml_have_their_places() {
    let text = TOML.replace("\"Lima\"\nsec", "\"Cuzco\"\nsec").replace("title", "titel");
    let expected = [
        r#"1:1 title: the field "title" is missing"#,
        r#"3:1 titel: unknown field "titel", did you mean "title"?"#,
        r#"9:11 questions[0].correct: "Cuzco" is none of the options"#,
    ];
    assert_eq!(problems("a.toml", text), expected);
    let found = problems("a.toml", "format = \ntitle = 'x\n");
    assert!(found.len() == 2 && found.iter().all(|it| it.contains("not TOML: ")), "{found:?}");
}

const OPENTDB: &str = r#"{"response_code":0,"results":[
{"type":"multiple","difficulty":"easy","category":"Science &amp; Nature",
 "question":"Who wrote &quot;L&#039;&Eacute;tranger&quot;?","correct_answer":"Albert Camus",
 "incorrect_answers":["Jean-Paul Sartre","Andr&eacute; Gide","Marcel Proust"]},
{"type":"boolean","difficulty":"easy","category":"x","question":"Is it?","correct_answer":"False",
 "incorrect_answers":["True"]}]}"#;

#[test]
fn a_reply_of_opentdb_is_a_show() {
    let Import { script, format, .. } = read("trivia.json", OPENTDB);
    assert_eq!((format, script.title.as_str()), (Format::Opentdb, "trivia"));
    let first = &script.questions[0];
    assert_eq!(first.text, "Who wrote \"L'Étranger\"?");
    let (options, correct) = first.as_choice().expect("the question is a choice");
    assert_eq!(options[correct.trailing_zeros() as usize], "Albert Camus");
    assert!(options.contains(&"André Gide".to_owned()));
    assert_eq!(script.questions[1], question("Is it?", &["True", "False"], 0b10));
    assert_eq!(read("trivia.json", OPENTDB).script, script, "every import is the same");
}

/// The options that players are sent, and which is correct, of the only question of a file.
fn asked(name: &str, text: &str) -> (Vec<String>, u32) {
    let script = read(name, text).script;
    let (options, correct) = script.questions[0].as_choice().expect("the question is a choice");
    (options.to_vec(), correct.trailing_zeros())
}

/// How a file of a format asks: with these options, of which this one is correct.
type Asked<'a> = &'a dyn Fn(&[&str], usize) -> (Vec<String>, u32);

/// What players see may not hang on what is correct: not even by its place.
#[test]
fn the_order_of_options_tells_nothing_where_the_file_gives_none() {
    let opentdb = |options: &[&str], correct: usize| {
        let wrong: Vec<_> = options.iter().filter(|it| **it != options[correct]).collect();
        let question = serde_json::json!({ "question": "Which?",
            "correct_answer": options[correct], "incorrect_answers": wrong });
        asked("trivia.json", &serde_json::json!([question]).to_string())
    };
    let gift = |options: &[&str], correct: usize| {
        let wrong = options.iter().filter(|it| **it != options[correct]);
        let wrong: Vec<_> = wrong.map(|it| format!("~{it}")).collect();
        asked("moodle.gift", &format!("Which? {{={} {}}}", options[correct], wrong.join(" ")))
    };
    let formats: [Asked<'_>; 2] = [&opentdb, &gift];
    let cases: [&[&str]; 4] = [
        &["Quito", "lima", "Bogotá", "7"],
        &["10", "9.5", "-1", "1e1"],
        &["False", "True"],
        &["b", "a"],
    ];
    for (options, format) in cases.iter().flat_map(|it| formats.iter().map(move |f| (it, f))) {
        let all: Vec<_> = (0..options.len()).map(|correct| format(options, correct)).collect();
        assert!(all.iter().all(|(shown, _)| *shown == all[0].0), "{all:?}");
        for (wanted, (shown, correct)) in options.iter().zip(&all) {
            assert_eq!(shown[*correct as usize], *wanted);
        }
    }
    assert_eq!(opentdb(&["10", "9.5", "-1"], 0).0, ["-1", "9.5", "10"]);
    assert_eq!(opentdb(&["False", "True"], 0), (vec!["True".to_owned(), "False".to_owned()], 1));
}

#[test]
fn problems_of_opentdb_are_listed_at_once() {
    let text = OPENTDB
        .replace("\"correct_answer\":\"False\"", "\"correct\":\"False\"")
        .replace("\"multiple\"", "\"essay\"");
    let found = problems("trivia.json", text).join("\n");
    for part in [
        "2:9 results[0].type: \"essay\" is no type, known are multiple, boolean",
        "results[1].correct_answer: the field \"correct_answer\" is missing",
        "5:74 results[1].correct: unknown field \"correct\", known are type, difficulty",
    ] {
        assert!(found.contains(part), "{found}");
    }
}

#[test]
fn a_reply_of_opentdb_without_questions_says_why() {
    let text = r#"{"response_code":5,"results":[]}"#;
    let found = problems("trivia.json", text).join("\n");
    assert!(
        found.contains("response_code: the Open Trivia Database says 5: too many requests"),
        "{found}"
    );
}

#[test]
fn how_a_file_is_read_can_be_told_when_it_cannot_be_read() {
    let how = |name: &str, text: &str| {
        let (bytes, name) = (text.as_bytes(), Path::new(name));
        format_of(&Source { bytes, name, format: None, progress: None })
    };
    assert_eq!(how("h.txt", "hello world"), Format::Csv);
    assert_eq!(how("h.txt", "What {=a ~b"), Format::Gift);
    assert_eq!(how("h.xlsx", "no workbook"), Format::Kahoot);
}

const CSV: &str = "question,option 1,option 2,option 3,correct,seconds,points,explanation\r\n\
    \"Capital of \"\"Peru\"\", then?\",Quito,Lima,,2,12.5,500,\"By the\nsea\"\r\n\
    Which are prime?,2,4,7,\"1,3\",,,\r\n\
    By words,yes,no,,no,,,\r\n";

#[test]
fn a_table_is_a_show() {
    let Import { script, encoding, .. } = read("my quiz.csv", CSV);
    assert_eq!((script.title.as_str(), encoding), ("my quiz", "UTF-8"));
    let mut first = question("Capital of \"Peru\", then?", &["Quito", "Lima"], 0b10);
    (first.open_ms, first.points) = (12_500, 500);
    first.explanation = Some("By the sea".into());
    let others = [
        question("Which are prime?", &["2", "4", "7"], 0b101),
        question("By words", &["yes", "no"], 0b10),
    ];
    assert_eq!(script.questions[0], first);
    assert_eq!(script.questions[1..], others);
}

#[test]
fn a_table_may_have_semicolons_or_tabs() {
    for delimiter in [";", "\t"] {
        let table = "question,answer 1,answer 2,correct\nQ?,a,b,1\n".replace(',', delimiter);
        assert_eq!(read("q.csv", &table).script.questions, [question("Q?", &["a", "b"], 1)]);
        let table = format!("sep={delimiter}\r\n{table}");
        assert_eq!(read("q.csv", &table).script.questions, [question("Q?", &["a", "b"], 1)]);
    }
}

#[test]
fn a_damaged_workbook_is_no_text() {
    let found = problems("quiz.XLSX", b"PQ\x03\x04 {=a ~b}");
    assert!(found.len() == 1 && found[0].contains("not an XLSX workbook"), "{found:?}");
}

#[test]
fn problems_of_a_table_have_line_and_column() {
    let table = "question,option 1,option 2,correct,secs,seconds\n\
        Q?,a,b,3,,soon\n,a,a,1,,20\nX,\"a\"b,c,1,,1,7\nY,\"a\n";
    let expected = [
        "1:36 : unknown column \"secs\", known are question, option 1 to option 16, correct, seconds, \
         points, explanation, multiple",
        "2:8 : option 3 is called correct, but its cell is empty or not there; options count from 1",
        "2:11 : \"soon\" is not a number such as 20 or 12.5",
        "3:1 questions[1].text: the field \"text\" is missing",
        "3:4 questions[1].options[1]: \"a\" is already option 0",
        "4:6 : text after a cell's closing quote: write a quote twice",
        "4:15 : this cell has no column: the row is too long",
        "5:1 questions[3].correct: the field \"correct\" is missing",
        "5:1 questions[3].options: 0 options, expected 2 to 16",
        "5:3 : this cell's quote is never closed",
    ];
    let mut found = problems("q.csv", table);
    found.sort();
    let mut expected = expected.map(str::to_owned).to_vec();
    expected.sort();
    assert_eq!(found, expected);
}

const GIFT: &str = "// a comment\n$CATEGORY: geography\n\n\
    ::Peru:: What is the capital of Peru? {\n  ~Quito #no\n  =Lima #yes\n  ~Bogot\u{e1}\n\
    ####It lies by the sea.\n}\n\n\
    The sun is a star. {T}\n\n\
    The {~moon =sun} is a star with 5 \\= 5 \\{ok\\}.\n\n\
    [html]Which <b>are</b> prime &amp; small? {~%50%2 ~%-100%4 ~%50%7}\n";

#[test]
fn gift_is_a_show() {
    let script = read("moodle.gift", GIFT).script;
    let mut peru = question("What is the capital of Peru?", &["Bogotá", "Lima", "Quito"], 0b10);
    peru.explanation = Some("It lies by the sea.".into());
    let expected = [
        peru,
        question("The sun is a star.", &["True", "False"], 0b01),
        question("The _____ is a star with 5 = 5 {ok}.", &["moon", "sun"], 0b10),
        question("Which are prime & small?", &["2", "4", "7"], 0b101),
    ];
    assert_eq!(script.questions, expected);
}

#[test]
fn a_short_answer_of_gift_is_typed() {
    let text = "Peru's capital? {=Lima #yes =%50%Ciudad de los Reyes =%0%Callao}\n\nTwo plus two? {=four =4}\n";
    let script = read("moodle.gift", text).script;
    let typed = |texts: &[&str]| {
        let accepted = texts.iter().map(ToString::to_string).collect();
        Task::Quiz(Quiz::Typed { accepted, typos: 0 })
    };
    assert_eq!(script.questions[0].task, typed(&["Lima", "Ciudad de los Reyes"]));
    assert_eq!(script.questions[1].task, typed(&["four", "4"]));
}

#[test]
fn a_number_of_gift_is_an_estimate_on_a_scale_that_does_not_tell_it() {
    let scale = |answer: &str| {
        let script = read("moodle.gift", format!("How many? {{{answer}}}\n")).script;
        match &script.questions[0].task {
            Task::Quiz(Quiz::Estimate(e)) => [e.correct, e.within, e.step, e.min, e.max],
            task => panic!("not an estimate: {task:?}"),
        }
    };
    assert_eq!(scale("#5:1"), [5_000, 2_000, 1_000, 0, 10_000]);
    assert_eq!(scale("#7"), [7_000, 1_000, 1_000, 0, 10_000], "only this one scores");
    assert_eq!(scale("#1..6"), [3_500, 2_600, 100, 0, 10_000]);
    assert_eq!(scale("#3.141:.001"), [3_141, 2, 1, 0, 10_000]);
    assert_eq!(scale("#-40:2#cold"), [-40_000, 3_000, 1_000, -100_000, 100_000]);
    let listed = "#=1822:0#yes =%50%1822:2 ~%-50%1900:5#no";
    assert_eq!(scale(listed), [1_822_000, 3_000, 1_000, 0, 10_000_000]);
    // All numbers of a file lie on one scale, so that none of them stands out by its size or sign.
    let text = "How many? {#5:1}\n\nWhen? {#1822}\n\nHow cold? {#-40.5}\n";
    let of = |question: &Question| match &question.task {
        Task::Quiz(Quiz::Estimate(e)) => [e.within, e.step, e.min, e.max],
        task => panic!("not an estimate: {task:?}"),
    };
    let shared: Vec<_> = read("m.gift", text).script.questions.iter().map(of).collect();
    let on_it = |within| [within, 100, -10_000_000, 10_000_000];
    assert_eq!(shared, [on_it(1_100), on_it(100), on_it(100)]);
    let apart = "How many? {#0.001}\n\nHow far? {#4000000}\n";
    let apart: Vec<_> = read("m.gift", apart).script.questions.iter().map(of).collect();
    assert_ne!(apart[0][3], apart[1][3], "too many steps for one scale");
    // Whatever the number below ten, players are shown the same.
    for number in 0..=8 {
        assert_eq!(scale(&format!("#{number}"))[2..], [1_000, 0, 10_000]);
    }
}

#[test]
fn what_gift_has_and_a_show_has_not_is_named() {
    let text = "a {}\n\nb {=x =y*}\n\nc {#5:soon}\n\nd {=a -> b =c -> d}\n\ne {=a ~b\n\nno braces\n\nf {#~5}\n";
    let expected = [
        "1:3 : an essay cannot be imported: nothing in a show is like it",
        "3:8 : an answer with the wildcard * cannot be imported: nothing in a show is like it",
        "5:4 : \"5:soon\" is no number such as 5, 5:1 or 4..6, with up to three decimals",
        "7:3 : matching cannot be imported: nothing in a show is like it",
        "9:3 : this { is never closed by a }",
        "11:1 : a question needs its answers in braces: { =right ~wrong }",
        "13:4 : no number of this question is right",
    ];
    let found = problems("m.gift", text);
    let places: Vec<_> = found.iter().filter(|it| !it.contains("questions: ")).collect();
    assert_eq!(places, expected.iter().collect::<Vec<_>>());
}

const AIKEN: &str = "What is the capital of Peru?\nA. Quito\nB) Lima\nANSWER: B\n\n\
    Is it?\nA. Yes\nB. No\nANSWER: A\n";

#[test]
fn aiken_is_a_show() {
    let Import { script, format, .. } = read("peru.txt", AIKEN);
    assert_eq!(format, Format::Aiken);
    let expected = [
        question("What is the capital of Peru?", &["Quito", "Lima"], 0b10),
        question("Is it?", &["Yes", "No"], 0b01),
    ];
    assert_eq!(script.questions, expected);
}

#[test]
fn problems_of_aiken_have_their_lines() {
    let text = "Q?\nA. a\nC. b\nANSWER: Z\n\nANSWER: A\nP?\nand more\nA. a\nB. b\n";
    let expected = [
        "1:1 questions[0].correct: the field \"correct\" is missing",
        "3:1 : option C stands here, expected B",
        "4:1 : ANSWER: \"Z\" is none of the options' letters",
        "6:1 : an ANSWER without a question before it",
        "7:1 : this question has no line ANSWER: with its letter",
        "8:1 : expected an option such as \"A. Lima\": a question is one line",
    ];
    assert_eq!(problems("q.aiken", text), expected);
}

/// The template of Kahoot, filled in by hand.
pub(super) fn kahoot(header_row: u32) -> Vec<u8> {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    sheet.write_string(0, 1, "Quiz template").unwrap();
    let header = [
        "Question - max 120 characters",
        "Answer 1 - max 75 characters",
        "Answer 2 - max 75 characters",
        "Answer 3 - max 75 characters",
        "Answer 4 - max 75 characters",
        "Time limit (sec) – 5, 10, 20, 30, 60, 90, 120, or 240 secs",
        "Correct answer(s) - choose at least one",
    ];
    for (column, text) in header.iter().enumerate() {
        sheet.write_string(header_row, column as u16 + 1, *text).unwrap();
    }
    let rows = [("Capital of Peru?", "Quito", "Lima", 20.0, "2"), ("Prime?", "2", "3", 5.0, "1,2")];
    for (index, (text, one, two, seconds, correct)) in rows.into_iter().enumerate() {
        let row = header_row + 1 + index as u32;
        sheet.write_number(row, 0, index as f64 + 1.0).unwrap();
        sheet.write_string(row, 1, text).unwrap();
        sheet.write_string(row, 2, one).unwrap();
        sheet.write_string(row, 3, two).unwrap();
        sheet.write_number(row, 6, seconds).unwrap();
        match correct.parse::<f64>() {
            Ok(number) => sheet.write_number(row, 7, number).unwrap(),
            Err(_) => sheet.write_string(row, 7, correct).unwrap(),
        };
    }
    sheet.write_number(header_row + 3, 0, 3.0).unwrap();
    workbook.save_to_buffer().unwrap()
}

#[test]
fn the_spreadsheet_of_kahoot_is_a_show() {
    let Import { script, format, .. } = read("My Kahoot.xlsx", kahoot(7));
    assert_eq!((format, script.title.as_str()), (Format::Kahoot, "My Kahoot"));
    let mut prime = question("Prime?", &["2", "3"], 0b11);
    prime.open_ms = 5_000;
    prime.scoring.partial = Partial::PerOption(500);
    assert_eq!(script.questions, [question("Capital of Peru?", &["Quito", "Lima"], 0b10), prime]);
}

/// Kahoot's rule for several correct answers: up to 500 for each that is chosen, nothing once a wrong one is.
#[test]
fn several_correct_answers_of_a_kahoot_are_scored_one_by_one() {
    let script = read("My Kahoot.xlsx", kahoot(7)).script;
    let (single, several) = (&script.questions[0], &script.questions[1]);
    let given = |of: &Question, mask, key| of.scoring.choice(of.points, (5_000, 0), mask, key).1;
    assert_eq!([0b01, 0b10, 0b11].map(|mask| given(several, mask, 0b11)), [500, 500, 1_000]);
    assert_eq!(given(several, 0b101, 0b11), 0, "a wrong one is among them");
    assert_eq!([0b01, 0b10].map(|mask| given(single, mask, 0b10)), [0, 1_000]);
    assert_eq!(several.scoring.choice(1_000, (5_000, 2_500), 0b01, 0b11), (false, 375));
    let worth = |question: &Question| question.task.full_points(question);
    let shown = |at| match script.view(at, false) {
        Some(TaskView::Quiz(view)) => (view.per_option, worth(&script.questions[usize::from(at)])),
        other => panic!("not a quiz: {other:?}"),
    };
    assert_eq!([shown(0), shown(1)], [(false, Some(1_000)), (true, Some(500))], "pages say so");
    let again = show::parse(&show::to_json(&script)).expect("a show");
    assert_eq!(again, script, "what is imported is written down whole");
}

/// As Kahoot means it: the number is always that of a column, whatever the answers say.
#[test]
fn a_kahoot_of_numbers_has_the_answer_of_its_column() {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let header = [
        "Question",
        "Answer 1",
        "Answer 2",
        "Answer 3",
        "Answer 4",
        "Time limit",
        "Correct answer(s)",
    ];
    let rows = [
        header,
        ["Sides of a triangle?", "4", "3", "2", "1", "20", "2"],
        ["Even?", "3", "4", "1", "2", "20", "2,4"],
    ];
    for (row, cells) in (7..).zip(rows) {
        for (column, text) in (1..).zip(cells) {
            sheet.write_string(row, column, text).unwrap();
        }
    }
    let script = read("k.xlsx", workbook.save_to_buffer().unwrap()).script;
    let keys: Vec<u32> = script.questions.iter().map(|one| one.as_choice().unwrap().1).collect();
    assert_eq!(keys, [0b10, 0b1010]);
}

#[test]
fn a_number_that_may_be_a_column_or_words_is_never_guessed() {
    let table = |correct: &str| {
        format!("question,option 1,option 2,option 3,correct\nSides?,3,2,1,{correct}\n")
    };
    let key = |correct| read("q.csv", table(correct)).script.questions[0].as_choice().unwrap().1;
    assert_eq!(key("option 1"), 0b1);
    assert_eq!(key("2"), 0b10, "both mean the same");
    assert_eq!(key("\"option 1, Answer 3\""), 0b101);
    assert_eq!(key("\"1,2\""), 0b11, "with commas they are numbers");
    for ambiguous in ["1", "3", "1;2"] {
        let found = problems("q.csv", table(ambiguous));
        let is_said = |it: &String| it.starts_with("2:14 : ") && it.contains("write \"option");
        assert!(found.iter().any(is_said), "{found:?}");
    }
    let table = "question,option 1,option 2,correct\nWhich?,41,42,42\n";
    assert_eq!(
        read("q.csv", table).script.questions[0].as_choice().unwrap().1,
        0b10,
        "no such column"
    );
}

#[test]
fn nothing_is_dropped_under_a_column_without_a_name() {
    let found = problems("q.csv", "question,option 1,option 2,correct,\nQ?,a,b,1,lost\n");
    assert_eq!(found, ["2:10 : this cell stands under no column's name"]);
    let numbered = ",question,option 1,option 2,correct,\n17,Q?,a,b,1,\n";
    assert_eq!(read("q.csv", numbered).script.questions, [question("Q?", &["a", "b"], 1)]);
}

#[test]
fn a_spreadsheet_without_its_header_is_refused_by_row() {
    let found = problems("k.xlsx", kahoot(3));
    assert!(found[0].contains("8:1 : row 8 should hold the columns' names"), "{found:?}");
    let found = problems("k.xlsx", b"PK\x03\x04nonsense");
    assert!(found[0].contains("not an XLSX workbook"), "{found:?}");
}

#[test]
fn a_legacy_encoding_is_found_and_named() {
    let table =
        "question,option 1,option 2,correct\nWo liegt Köln? Größe zählt,am Rhein,in Österreich,1\n";
    let (bytes, _, _) = encoding_rs::WINDOWS_1252.encode(table);
    let Import { script, encoding, .. } = read("q.csv", &bytes);
    assert_eq!(encoding, "windows-1252");
    assert_eq!(script.questions[0].text, "Wo liegt Köln? Größe zählt");
    let wide: Vec<u8> =
        [0xfeff].into_iter().chain(table.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(read("q.csv", &wide).script, script);
}

/// A table that was put together of two files.
#[test]
fn a_broken_byte_in_what_is_utf8_is_named_and_spoils_nothing_else() {
    let bytes =
        b"question,option 1,option 2,correct\nGr\xc3\xbc\xc3\x9fe,1,2,1\nGr\xfc\xdfe,1,2,1\n";
    let found = problems("q.csv", bytes);
    assert_eq!(found, ["3:3 : byte 51 is 0xFC, which is not UTF-8"]);
    let (bytes, _, _) = encoding_rs::WINDOWS_1251
        .encode("question,option 1,option 2,correct\nКакая река длиннее?,Лена,Обь,1\n");
    assert_eq!(read("q.csv", &bytes).encoding, "windows-1251");
}

#[test]
fn a_byte_that_fits_nowhere_is_named_with_its_place() {
    let found = problems("q.csv", b"\xef\xbb\xbfquestion\nab\xff\n");
    assert_eq!(found, ["2:3 : byte 14 is 0xFF, which is not UTF-8"]);
    let found = problems("q.json", b"{\"title\":\n\"K\xf6ln\"}");
    assert!(
        found[0].starts_with("2:3 : byte 12 is 0xF6, which is not UTF-8, as JSON must be"),
        "{found:?}"
    );
}

#[test]
fn content_decides_where_an_extension_does_not() {
    let formats = [
        ("a", TOML.as_bytes().to_vec(), Format::Toml),
        ("b.txt", AIKEN.into(), Format::Aiken),
        ("c.txt", GIFT.into(), Format::Gift),
        ("d", show::SAMPLE.into(), Format::Json),
        ("e.json", show::SAMPLE.into(), Format::Json),
        ("f.dat", OPENTDB.into(), Format::Opentdb),
        ("g", CSV.into(), Format::Csv),
        ("h.csv", kahoot(7), Format::Kahoot),
    ];
    for (name, bytes, format) in formats {
        assert_eq!(read(name, bytes).format, format, "{name}");
    }
    let as_csv = Source { format: Some(Format::Csv), ..source("x.json", CSV.as_bytes()) };
    assert_eq!(import(&as_csv).expect("the format is given").format, Format::Csv);
}

#[test]
fn fifty_thousand_questions_are_read_and_followed() {
    let mut table = "question,option 1,option 2,option 3,option 4,correct\n".to_owned();
    for number in 0..50_000 {
        let _ = writeln!(
            table,
            "What is {number} plus one?,={number},={},{number}a,{number}b,2",
            number + 1
        );
    }
    let (last, calls) = (std::cell::Cell::new((0, 0)), std::cell::Cell::new(0));
    let progress = |done, total| {
        last.set((done, total));
        calls.set(calls.get() + 1);
    };
    let source = Source { progress: Some(&progress), ..source("big.csv", table.as_bytes()) };
    let script = import(&source).expect("the table is right").script;
    assert_eq!(script.questions.len(), 50_000);
    assert!(calls.get() >= 50_000 && last.get().1 == table.len() as u64);
    assert_eq!(script, show::parse(&show::to_json(&script)).expect("a show"));
}

/// However a file is written, whoever waits sees how far it is read.
#[test]
fn every_format_is_followed_to_its_end() {
    let many = |one: &str, between: &str| vec![one; 40].join(between);
    let json = show::to_json(&read("q.csv", CSV).script);
    let files: [(&str, Vec<u8>); 7] = [
        ("a.json", json.into()),
        ("b.toml", TOML.into()),
        ("c.json", OPENTDB.into()),
        ("d.csv", CSV.into()),
        ("e.gift", GIFT.into()),
        ("f.aiken", many(AIKEN, "\n").into()),
        ("g.xlsx", kahoot(7)),
    ];
    for (name, bytes) in files {
        let told = std::cell::RefCell::new(Vec::new());
        let progress = |done, total| told.borrow_mut().push((done, total));
        import(&Source { progress: Some(&progress), ..source(name, &bytes) }).expect(name);
        let told = told.into_inner();
        assert!(told.len() >= 2, "{name} moves: {told:?}");
        assert!(told.is_sorted() && told.iter().all(|(done, total)| done <= total), "{told:?}");
    }
}

/// Whatever the bytes, a file is a show or has problems with places.
fn check_answered(bytes: &[u8], format: Option<Format>) -> Result<(), TestCaseError> {
    let source = Source { format, ..source("fuzz", bytes) };
    if let Err(found) = import(&source) {
        prop_assert!(!found.is_empty());
        prop_assert!(found.iter().all(|it| it.line > 0 && it.column > 0 && !it.message.is_empty()));
    }
    Ok(())
}

fn format() -> impl Strategy<Value = Option<Format>> {
    prop::option::of(prop::sample::select(Format::value_variants().to_vec()))
}

fn sample() -> impl Strategy<Value = Vec<u8>> {
    let samples = [TOML, OPENTDB, CSV, GIFT, AIKEN].map(|text| text.as_bytes().to_vec());
    prop::sample::select([samples.to_vec(), vec![kahoot(7)]].concat())
}

proptest! {
    #[test]
    fn any_bytes_are_answered(bytes: Vec<u8>, format in format()) {
        check_answered(&bytes, format)?;
    }

    #[test]
    fn any_pieces_of_syntax_are_answered(
        text in r#"([a-z =~{}#%:\\"\[\],;.A-D\n\r\t-]|ANSWER: |question,|::|####|->|//|\[html\]){0,60}"#,
        format in format(),
    ) {
        check_answered(text.as_bytes(), format)?;
    }

    #[test]
    fn a_damaged_file_is_answered(
        mut bytes in sample(),
        at: prop::sample::Index,
        insert in prop::collection::vec(any::<u8>(), 0..6),
        cut in 0..30_usize,
        format in format(),
    ) {
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, insert);
        check_answered(&bytes, format)?;
        check_answered(&bytes, None)?;
    }
}
