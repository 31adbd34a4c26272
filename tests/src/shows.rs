//! Shows for tests: as many questions as wanted, as short as wanted.

use crdt_state::engagement::quiz::script::{Question, Script};

/// The file of a show of sums; the correct option of question `n`, from 1, is `n % 4`.
#[must_use]
pub fn sums(questions: u32, open_ms: u32) -> String {
    let question = |number: u32| Question {
        text: format!("What is {number} + {number}?"),
        options: (0..4).map(|option| (2 * number + option - number % 4).to_string()).collect(),
        correct: 1 << (number % 4),
        open_ms,
        points: 1_000,
        explanation: None,
        multiple: false,
    };
    let questions = (1..=questions).map(question).collect();
    node::show::to_json(&Script { title: "Sums".to_owned(), questions, autopilot_ms: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correct_option_of_a_sum_is_correct() {
        let script = node::show::parse(&sums(9, 2_500)).expect("the show is right");
        for (index, question) in script.questions.iter().enumerate() {
            let correct = &question.options[question.correct.trailing_zeros() as usize];
            assert_eq!(*correct, (2 * (index + 1)).to_string(), "{question:?}");
        }
    }
}
