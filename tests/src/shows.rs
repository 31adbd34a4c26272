//! Shows for tests: as many questions as wanted, as short as wanted.

use crdt_state::engagement::script::Entry;
use crdt_state::engagement::{Question, Script};

/// The file of a show of sums; the correct option of question `n`, from 1, is `n % 4`.
#[must_use]
pub fn sums(questions: u32, open_ms: u32) -> String {
    node::show::to_json(&script(questions, open_ms))
}

/// The same, only for whom the operator's own platform vouches.
#[must_use]
pub fn closed_sums(questions: u32, open_ms: u32) -> String {
    node::show::to_json(&Script { entry: Entry::Closed, ..script(questions, open_ms) })
}

fn script(questions: u32, open_ms: u32) -> Script {
    let option = |number: u32, option: u32| (2 * number + option - number % 4).to_string();
    let question = |number: u32| {
        let options = (0..4).map(|at| option(number, at)).collect();
        let text = format!("What is {number} + {number}?");
        Question::choice(text, options, 1 << (number % 4)).open_ms(open_ms)
    };
    Script::new("Sums", (1..=questions).map(question).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_correct_option_of_a_sum_is_correct() {
        let script = node::show::parse(&sums(9, 2_500)).expect("the show is right");
        for (index, question) in script.questions.iter().enumerate() {
            let (options, correct) = question.as_choice().expect("a sum is a choice");
            let correct = &options[correct.trailing_zeros() as usize];
            assert_eq!(*correct, (2 * (index + 1)).to_string(), "{question:?}");
        }
    }
}
