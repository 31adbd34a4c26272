//! What authors get back for their files, right and wrong.

use super::*;
use crdt_state::engagement::Question;
use crdt_state::engagement::script::caps;
use crdt_state::engagement::{Task, quiz::Quiz};
use proptest::prelude::*;

fn problems(text: &str) -> Vec<String> {
    let problems = parse(text).expect_err("the file is wrong");
    let lines = problems.iter();
    lines.map(|p| format!("{}:{} {}: {}", p.line, p.column, p.field, p.message)).collect()
}

/// A show of one question whose lines from the fifth on are `fields`.
fn with_question(fields: &str) -> String {
    format!(
        "{{\n\"format\": \"{FORMAT}\",\n\"title\": \"T\",\n\"questions\": [{{\n{fields}\n}}]\n}}\n"
    )
}

fn correct_of(question: &Question) -> u32 {
    question.as_choice().expect("the question is a choice").1
}

const GOOD: &str = r#""text": "Q", "options": ["a", "b", "c"], "correct": 1"#;

#[test]
fn a_correct_number_is_one_that_can_be_answered() {
    let of = |fields: &str| {
        with_question(&format!("\"text\": \"Q\", \"min\": 0, \"max\": 1000, {fields}"))
    };
    let found = problems(&of("\"step\": 10, \"correct\": 333"));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].ends_with("nobody can answer 333: the steps next to it are 330 and 340"),
        "{found:?}"
    );
    let found = problems(&of("\"step\": 0.0001, \"correct\": 0.33337"));
    assert!(found.iter().any(|it| it.ends_with("0.33337 is finer than a thousandth")), "{found:?}");
    for right in [
        "\"step\": 10, \"correct\": 330",
        "\"step\": 0.1, \"correct\": 0.3",
        "\"step\": 3, \"correct\": 999",
    ] {
        assert!(parse(&of(right)).is_ok(), "{right}");
    }
}

#[test]
fn a_show_with_teams_has_a_side_of_the_rope_for_each() {
    let show = |sides: &str| {
        format!(
            "{{\"format\": \"{FORMAT}\", \"title\": \"T\", \"teams\": {{\"names\": [\"a\", \"b\", \"c\"]}}, \
             \"questions\": [{{\"kind\": \"tug\", \"text\": \"?\", \"sides\": {sides}}}]}}"
        )
    };
    assert!(parse(&show(r#"["x", "y", "z"]"#)).is_ok());
    let found = problems(&show(r#"["x", "y"]"#));
    assert_eq!(found.len(), 1);
    assert!(
        found[0].ends_with(
            "questions[0].sides: 2 sides, but the show has 3 teams: name a side for each"
        ),
        "{found:?}"
    );
}

#[test]
fn what_a_wrong_answer_costs_in_the_show_costs_nothing_in_a_question_to_warm_up() {
    let text = format!(
        "{{\"format\": \"{FORMAT}\", \"title\": \"T\", \"scoring\": {{\"wrong\": 50}}, \
         \"questions\": [{{{GOOD}, \"points\": 0}}, {{{GOOD}}}]}}"
    );
    let script = parse(&text).expect("a show");
    assert_eq!([0, 1].map(|at: usize| script.questions[at].scoring.wrong), [0, 50]);
    assert_eq!(parse(&to_json(&script)).expect("a show"), script, "it is written down whole");
}

/// The document shows each with the fields that are its own.
#[test]
fn every_question_of_the_document_is_one_and_there_is_one_of_each_kind() {
    let document = include_str!("../../docs/show-format.md");
    let blocks = document.split("```json question\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    let show = |block: &str| {
        format!("{{\"format\": \"{FORMAT}\", \"title\": \"T\", \"questions\": [{block}]}}")
    };
    for block in &blocks {
        parse(&show(block)).unwrap_or_else(|found| panic!("{block}: {}", describe(&found, "it")));
    }
    let kinds = "poll rating survey word_cloud qa reactions prediction elimination tug raffle";
    for kind in kinds.split(' ') {
        let marked = format!("\"kind\": \"{kind}\"");
        assert!(blocks.iter().any(|block| block.contains(&marked)), "{kind}");
    }
}

#[test]
fn the_sample_is_a_show_of_twelve_questions() {
    let script = parse(SAMPLE).unwrap_or_else(|found| panic!("{}", describe(&found, "sample")));
    assert_eq!(script.questions.len(), 12);
    assert!(script.questions.iter().all(|question| question.explanation.is_some()));
    let multiple =
        |q: &&Question| matches!(q.task, Task::Quiz(Quiz::Choice { multiple: true, .. }));
    assert_eq!(script.questions.iter().filter(multiple).count(), 1);
    assert_eq!(correct_of(&script.questions[3]), 0b10101);
}

#[test]
fn the_sample_of_kinds_has_every_kind_and_survives_its_file() {
    let text = include_str!("../../shows/kinds.json");
    let script = parse(text).unwrap_or_else(|found| panic!("{}", describe(&found, "kinds")));
    for kind in crdt_state::engagement::KINDS {
        assert!(script.questions.iter().any(|question| question.task.name() == *kind), "{kind}");
    }
    assert_eq!(parse(&to_json(&script)), Ok(script));
}

#[test]
fn absent_fields_have_their_defaults() {
    let script = parse(&with_question(GOOD)).expect("the file is right");
    let question = &script.questions[0];
    assert_eq!(question.open_ms, OPEN_MS_DEFAULT);
    assert_eq!(question.points, POINTS_DEFAULT);
    assert_eq!(correct_of(question), 0b010);
    assert_eq!((question.explanation.clone(), script.autopilot_ms), (None, None));
}

#[test]
fn correct_is_a_number_from_zero_or_the_words_of_an_option() {
    for (correct, mask) in [("0", 0b001), ("2", 0b100), (r#""c""#, 0b100), (r#"["a", 2]"#, 0b101)] {
        let fields = format!(
            r#""text": "Q", "options": ["a", "b", "c"], "multiple": true, "correct": {correct}"#
        );
        let script = parse(&with_question(&fields)).expect("the file is right");
        assert_eq!(correct_of(&script.questions[0]), mask, "{correct}");
    }
}

#[test]
fn seconds_may_have_decimals() {
    let fields = format!("{GOOD}, \"seconds\": 3.25");
    assert_eq!(parse(&with_question(&fields)).unwrap().questions[0].open_ms, 3_250);
}

/// Or everybody who gives no stake would be refused.
#[test]
fn a_prediction_credits_no_more_than_may_be_staked() {
    let fields = r#""kind": "prediction", "text": "Q", "options": ["a", "b"]"#;
    let found = problems(&with_question(&format!("{fields}, \"stake_max\": 50, \"credit\": 100")));
    let expected = "questions[0].credit: 100 is more than the 50 that may be staked";
    assert!(found.len() == 1 && found[0].ends_with(expected), "{found:?}");
    for (more, both) in [
        ("", (1_000, 100)),
        (", \"stake_max\": 50", (50, 50)),
        (", \"credit\": 2000", (2_000, 2_000)),
        (", \"stake_max\": 50, \"credit\": 0", (50, 0)),
    ] {
        let script = parse(&with_question(&format!("{fields}{more}"))).expect("the file is right");
        let Task::Prediction(task) = &script.questions[0].task else { panic!("a prediction") };
        assert_eq!((task.stake_max, task.credit), both, "{more}");
    }
}

#[test]
fn a_byte_order_mark_is_no_problem() {
    assert!(parse(&format!("\u{feff}{SAMPLE}")).is_ok());
}

#[test]
fn all_problems_are_listed_by_their_places() {
    let text = r#"{
  "format": "starling-show/2",
  "titel": "Ä",
  "questions": [
    {"text": " ", "options": ["a", "b", "a"], "correct": 3, "points": -1},
    {"text": "é", "options": ["only"], "correct": [], "seconds": 0.5, "multiple": "no"},
    7
  ]
}"#;
    let expected = [
        r#"1:1 title: the field "title" is missing"#,
        r#"2:13 format: "starling-show/2" cannot be read, expected "starling-show/1""#,
        r#"3:3 titel: unknown field "titel", did you mean "title"?"#,
        r#"5:14 questions[0].text: the text is empty"#,
        r#"5:41 questions[0].options[2]: "a" is already option 0"#,
        r#"5:58 questions[0].correct: 3 is no option: they count from 0 to 2"#,
        r#"5:71 questions[0].points: -1 is out of range, expected a whole number from 0 to 100000"#,
        r#"6:30 questions[1].options: 1 options, expected 2 to 16"#,
        r#"6:51 questions[1].correct: no option is correct, expected at least one"#,
        r#"6:66 questions[1].seconds: 0.5 seconds, expected 1 to 600"#,
        r#"6:83 questions[1].multiple: expected true or false, found a string"#,
        r#"7:5 questions[2]: expected an object, found a number"#,
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn every_wrong_field_is_named_with_what_would_be_right() {
    let long = "x".repeat(caps::TEXT_BYTES_MAX + 1);
    let long_option = "x".repeat(caps::OPTION_BYTES_MAX + 1);
    let cases = [
        (r#""seconds": "20""#.to_owned(), "expected a number, found a string"),
        (r#""seconds": 601"#.into(), "601 seconds, expected 1 to 600"),
        (r#""seconds": 1.0005"#.into(), "1.0005 seconds is finer than a millisecond"),
        (r#""seconds": 1e999"#.into(), "1e999 is not a JSON number"),
        (r#""points": 100001"#.into(), "expected a whole number from 0 to 100000"),
        (r#""points": 1.5"#.into(), "1.5 is out of range"),
        (r#""points": 1e9"#.into(), "1000000000.0 is out of range"),
        (r#""explanation": """#.into(), "the text is empty"),
        (r#""explanation": "a\u0007b""#.into(), "the control character U+0007 cannot be shown"),
        (format!(r#""explanation": "{long}""#), "the text has 1001 bytes, at most 1000 fit"),
        (r#""correct": 0"#.into(), "the field stands here a second time"),
        (r#""anwser": 0"#.into(), "unknown field \"anwser\", known are text, options, correct"),
        (r#""option": []"#.into(), "unknown field \"option\", did you mean \"options\"?"),
    ];
    for (field, message) in cases {
        let found = problems(&with_question(&format!("{GOOD},\n{field}"))).join("\n");
        assert!(found.contains(message) && found.starts_with("6:"), "{field} gave {found}");
    }
    let options = format!(r#""text": "Q", "options": ["{long_option}", 1, null], "correct": "b""#);
    let found = problems(&with_question(&options)).join("\n");
    for message in [
        "questions[0].options[0]: the text has 201 bytes, at most 200 fit",
        "questions[0].options[1]: expected a string, found a number",
        "questions[0].options[2]: expected a string, found null",
        "questions[0].correct: \"b\" is none of the options",
    ] {
        assert!(found.contains(message), "{found}");
    }
}

#[test]
fn a_word_that_is_nearly_one_is_answered_with_it_and_with_nothing_else() {
    let form = problems(&with_question(r#""text": "Q", "form": "truefalse", "correct": true"#));
    let [form] = &form[..] else { panic!("one problem: {form:?}") };
    assert!(
        form.ends_with(r#""truefalse" is none of choice, true_false: did you mean "true_false"?"#),
        "{form}"
    );
    let alone = GOOD.replace("1", "0");
    let show = format!(
        "{{\"format\": \"{FORMAT}\", \"title\": \"T\", \"lobby_seconds\": 30, \"questions\": [{{{alone}}}]}}"
    );
    let lobby = problems(&show);
    let [lobby] = &lobby[..] else { panic!("one problem: {lobby:?}") };
    assert!(
        lobby.ends_with("lobby_seconds: it does nothing without \"autopilot_seconds\""),
        "{lobby}"
    );
    let order =
        problems(&with_question(r#""text": "Q", "options": ["a", "b", "c"], "order": ["a", "b"]"#));
    assert!(order[0].ends_with("2 places, expected 3"), "{order:?}");
}

#[test]
fn several_correct_options_need_multiple() {
    let fields = r#""text": "Q", "options": ["a", "b"], "correct": [0, 1, 1]"#;
    let expected = [
        "5:48 questions[0].correct: 3 options are correct: \
         add \"multiple\": true to let players choose several",
        "5:55 questions[0].correct[2]: option 1 is named a second time",
    ];
    assert_eq!(problems(&with_question(fields)), expected);
}

#[test]
fn a_syntax_error_has_its_place_and_advice() {
    for (text, expected) in [
        ("", "1:1 : the file is empty, expected a show: {\"format\": ...}"),
        ("{\n  \"a\": 1,\n}", "2:9 : a comma after the last entry: remove it"),
        ("{\"a\": 1 \"b\": 2}", "1:8 : a comma is missing here"),
        ("{\"a\": 1} // x", "1:10 : JSON has no comments: remove it"),
        ("{'a': 1}", "1:2 : JSON strings have double quotes"),
        ("{a: 1}", "1:2 : a field's name needs double quotes"),
        ("{\"a\"; 1}", "1:5 : unexpected text: strings need double quotes"),
        ("{\"a\" 1}", "1:6 : a colon is missing after the field's name"),
        ("{\"a\": ", "1:7 : a value is missing after the colon"),
        ("[\n[", "2:1 : this [ is never closed by a ]"),
        ("{\"a\": 1", "1:1 : this { is never closed by a }"),
        ("{}\n{}", "2:1 : the show has ended: remove what follows"),
        ("[yes]", "1:2 : unexpected text: strings need double quotes"),
        ("[\"a\nb", "1:2 : not JSON: unterminated string literal"),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
}

#[test]
fn too_many_questions_are_refused() {
    let question = format!("{{{GOOD}}}");
    let questions = vec![question; caps::QUESTIONS_MAX + 1].join(",");
    let text = format!(r#"{{"format":"{FORMAT}","title":"T","questions":[{questions}]}}"#);
    assert_eq!(problems(&text), ["1:53 questions: 50001 questions, expected 1 to 50000"]);
}

#[test]
fn too_many_options_are_refused_even_when_the_correct_one_is_beyond_the_mask() {
    let options: Vec<String> = (0..17).map(|n| format!("\"{n}\"")).collect();
    let options = options.join(",");
    let fields = format!("\"text\": \"Q\", \"correct\": 16,\n\"options\": [{options}]");
    let found = problems(&with_question(&fields));
    assert!(found[0].contains("16 is no option: they count from 0 to 15"), "{found:?}");
    assert!(found[1].contains("17 options, expected 2 to 16"), "{found:?}");
}

/// Compared each with each, they would take hours.
#[test]
fn a_list_that_is_far_too_long_is_refused_as_fast_as_it_is_read() {
    const MANY: usize = 300_000;
    let words: Vec<String> = (0..MANY).map(|n| format!("\"a{n}\"")).collect();
    let words = words.join(",");
    let fields = format!("\"text\": \"Q\",\n\"accepted\": [{words}, \" a7 \"]");
    let found = problems(&with_question(&fields));
    assert_eq!(found.len(), 2);
    assert!(found[0].ends_with("300001 accepted, expected 1 to 50"), "{found:?}");
    assert!(found[1].ends_with("\" a7 \" is already option 7"), "{found:?}");
    let unknown: Vec<String> = (0..MANY).map(|n| format!("\"field{n}\": 0")).collect();
    let found = problems(&with_question(&format!("{GOOD}, {}", unknown.join(","))));
    assert!(found[PROBLEMS_MAX].ends_with("299000 more problems are not listed"));
}

/// A show of as many questions as there may be, each of so many bytes beside its options.
fn questions_of(bytes: usize) -> String {
    let text = "x".repeat(bytes);
    let options =
        "\"The first of four options\", \"the second\", \"the third of them\", \"the last\"";
    let question = format!("{{\"text\": \"{text}\", \"options\": [{options}], \"correct\": 2}}");
    let questions = vec![question; caps::QUESTIONS_MAX].join(",\n");
    format!("{{\"format\": \"{FORMAT}\", \"title\": \"T\", \"questions\": [{questions}]}}")
}

#[test]
fn as_many_ordinary_questions_as_there_may_be_fit_into_one_show_and_essays_do_not() {
    let ordinary = questions_of(220);
    assert!(ordinary.len() > 16_000_000);
    let script = parse(&ordinary).expect("it is a show");
    assert_eq!(script.questions.len(), caps::QUESTIONS_MAX);
    let found = problems(&questions_of(900));
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("1:1 : nodes keep the show in "), "{found:?}");
    assert!(found[0].ends_with(" bytes, and carry at most 33554432"), "{found:?}");
}

#[test]
fn one_problem_is_one() {
    let said = |text: &str| refused(parse(text).unwrap_err());
    let one = said("");
    assert_eq!(
        (one.code.as_str(), one.message.as_str()),
        ("show_invalid", "the show has 1 problem")
    );
    assert_eq!(one.hint.as_deref(), Some("mend it and import the show again"));
    assert_eq!(said("{\"format\": \"x\"}").message, "the show has 3 problems");
}

#[test]
fn a_file_beyond_the_size_cap_is_not_read() {
    let found = problems(&" ".repeat(FILE_BYTES_MAX + 1));
    assert_eq!(found, ["1:1 : the file has 67108865 bytes, at most 67108864 are read"]);
}

#[test]
fn the_list_of_problems_is_bounded() {
    let fields: Vec<String> = (0..PROBLEMS_MAX + 10).map(|n| format!("\"x{n}\": 0")).collect();
    let found = problems(&format!("{{{}}}", fields.join(",\n")));
    assert_eq!(found.len(), PROBLEMS_MAX + 1);
    // Beside the unknown fields three are missing: the format, the title and the questions.
    assert!(found[PROBLEMS_MAX].ends_with("13 more problems are not listed"), "{found:?}");
}

#[test]
fn problems_are_printed_as_a_compiler_does() {
    let found = parse("{\"format\": \"x\"}").unwrap_err();
    let text = describe(&found, "show.json");
    assert_eq!(text.lines().last(), Some("3 problems in show.json"));
    assert!(text.contains("show.json:1:12: format: \"x\" cannot be read, expected"), "{text}");
}

#[test]
fn deep_nesting_is_a_problem_and_not_a_crash() {
    let found = problems(&"[".repeat(1_000_000));
    assert!(found[0].contains("nesting depth"), "{found:?}");
}

fn label() -> impl Strategy<Value = String> {
    "[ -~äß„“🐦]{0,20}[a-z🐦]"
}

prop_compose! {
    fn question()(
        options in prop::collection::btree_map("[a-z\"\\\\]{1,8}", Just(()), 2..=16),
        multiple: bool,
        mask: u32,
        text in label(),
        open_ms in caps::OPEN_MS,
        points in 0..=caps::POINTS_MAX,
        explanation in prop::option::of(label()),
    ) -> Question {
        let options: Vec<String> = options.into_keys().collect();
        let (count, any) = (options.len() as u32, mask.max(1));
        let several = (mask & ((1_u32 << count) - 1)).max(1);
        let correct = if multiple { several } else { 1 << (any % count) };
        let task = Task::Quiz(Quiz::Choice { options, correct, multiple });
        Question { open_ms, points, explanation, ..Question::new(text, task) }
    }
}

prop_compose! {
    fn script()(
        title in label(),
        questions in prop::collection::vec(question(), 1..8),
        autopilot_ms in prop::option::of(AUTOPILOT_MS),
    ) -> Script {
        Script { autopilot_ms, ..Script::new(title, questions) }
    }
}

/// Pieces of shows in any order, so that the reader gets beyond the syntax.
fn piece() -> impl Strategy<Value = String> {
    let known =
        r#"[\[\]{},:]|"[a-z]{0,4}"|"(format|title|questions|text|options|correct|seconds)":"#;
    prop_oneof![known, "[0-9.eE+-]{1,6}", r#"\\PC{0,3}"#, Just("\"starling-show/1\"".to_owned())]
}

proptest! {
    #[test]
    fn any_text_is_answered(text: String) {
        if let Err(found) = parse(&text) {
            prop_assert!(!found.is_empty());
        }
    }

    #[test]
    fn any_show_like_text_is_answered(pieces in prop::collection::vec(piece(), 0..40)) {
        if let Err(found) = parse(&pieces.concat()) {
            prop_assert!(!found.is_empty());
        }
    }

    #[test]
    fn a_damaged_show_is_answered(at in 0..SAMPLE.len(), length in 0..40_usize, insert: char) {
        let mut text: Vec<char> = SAMPLE.chars().collect();
        let at = at.min(text.len());
        let end = (at + length).min(text.len());
        text.splice(at..end, [insert]);
        if let Err(found) = parse(&text.into_iter().collect::<String>()) {
            prop_assert!(!found.is_empty());
        }
    }

    #[test]
    fn a_script_survives_its_file(script in script()) {
        prop_assert_eq!(parse(&to_json(&script)), Ok(script));
    }
}
