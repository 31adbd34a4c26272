//! A large show from the quiz files of the `bsdgames` package, for tests that need many questions.
//!
//! Each line of a topic file gives a question, its siblings give the wrong options; the same files,
//! options and seed give the same show to the byte. The files (BSD licence) are read where the
//! package puts them and are not part of Starling.

use crate::expression::{Expression, lines};
use crdt_state::engagement::script::caps;
use crdt_state::engagement::{Question, Script};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the show should be like.
#[derive(Debug, Clone)]
pub struct BankOptions {
    /// Chooses the questions, the wrong options and every order.
    pub seed: u64,
    /// How many questions are wanted; there are fewer if the files hold fewer.
    pub questions: usize,
    /// How long each is open, in milliseconds.
    pub open_ms: u32,
    /// The show's autopilot, in milliseconds.
    pub autopilot_ms: Option<u32>,
}

impl Default for BankOptions {
    fn default() -> Self {
        BankOptions { seed: 1, questions: 120, open_ms: 20_000, autopilot_ms: None }
    }
}

/// The folder of topic files, where the package is installed.
#[must_use]
pub fn find() -> Option<PathBuf> {
    let places = ["/usr/share/games/bsdgames/quiz", "/usr/share/games/quiz.db"];
    places.into_iter().map(PathBuf::from).find(|place| place.join("africa").is_file())
}

/// A show from the topic files in `folder`; topics without a file are left out.
///
/// # Errors
/// If a file is there and cannot be read, or if there is none at all.
pub fn show(folder: &Path, options: &BankOptions) -> io::Result<Script> {
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let mut questions = Vec::new();
    for topic in &TOPICS {
        match fs::read(folder.join(topic.file)) {
            Ok(bytes) => {
                let file = String::from_utf8_lossy(&bytes);
                questions.extend(topic.questions(&file, options.open_ms, &mut random));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    if questions.is_empty() {
        let message = format!("no topic file in {}", folder.display());
        return Err(io::Error::new(io::ErrorKind::NotFound, message));
    }
    shuffle(&mut questions, &mut random);
    questions.truncate(options.questions.min(caps::QUESTIONS_MAX));
    let title = format!("{} questions from everywhere", questions.len());
    Ok(Script { autopilot_ms: options.autopilot_ms, ..Script::new(title, questions) })
}

/// One way to ask about the lines of one file.
struct Topic {
    file: &'static str,
    /// Which field is asked about.
    asks: usize,
    /// Which field is the answer.
    answers: usize,
    /// Stands before and after what is asked about.
    wording: (&'static str, &'static str),
}

const TOPICS: [Topic; 13] = [
    topic("africa", 0, 1, ("What is the capital of ", "?")),
    topic("america", 0, 1, ("What is the capital of ", "?")),
    topic("asia", 0, 1, ("What is the capital of ", "?")),
    topic("europe", 0, 1, ("What is the capital of ", "?")),
    topic("province", 0, 1, ("What is the capital of the Canadian province of ", "?")),
    topic("state", 0, 1, ("What is the capital of the US state of ", "?")),
    topic("state", 2, 0, ("Which US state has the letters ", "?")),
    topic("elements", 0, 3, ("Which element has the symbol ", "?")),
    topic("elements", 3, 1, ("What is the atomic number of ", "?")),
    topic("babies", 0, 1, ("A ", " grows up. What is it then?")),
    topic("collectives", 0, 1, ("What are many ", " together?")),
    topic("flowers", 0, 1, ("In the language of flowers, what does ", " say?")),
    topic("murders", 0, 1, ("Who or what killed ", "?")),
];

const fn topic(
    file: &'static str,
    asks: usize,
    answers: usize,
    wording: (&'static str, &'static str),
) -> Topic {
    Topic { file, asks, answers, wording }
}

/// A line of a file as one topic sees it.
struct Pair {
    asked: String,
    answer: String,
    /// In lower case; no wrong option may be one of them.
    accepted: Vec<String>,
}

impl Topic {
    fn questions(&self, file: &str, open_ms: u32, random: &mut ChaCha8Rng) -> Vec<Question> {
        let pairs: Vec<Pair> = lines(file).iter().filter_map(|line| self.pair(line)).collect();
        let ask = |pair| self.question(pair, &pairs, open_ms, random);
        pairs.iter().filter_map(ask).collect()
    }

    fn pair(&self, line: &[Expression]) -> Option<Pair> {
        let (asked, answer) = (line.get(self.asks)?.display(), line.get(self.answers)?.display());
        let fits = |text: &str, max| !text.is_empty() && text.len() <= max && printable(text);
        let fits = fits(&asked, caps::OPTION_BYTES_MAX) && fits(&answer, caps::OPTION_BYTES_MAX);
        let accepted = line[self.answers].accepted(ACCEPTED_MAX);
        // A question that holds its own answer, as Djibouti's would, is none.
        let gives_away = asked.to_lowercase().contains(&answer.to_lowercase());
        (fits && !gives_away).then_some(Pair { asked, answer, accepted })
    }

    fn question(
        &self,
        pair: &Pair,
        pairs: &[Pair],
        open_ms: u32,
        random: &mut ChaCha8Rng,
    ) -> Option<Question> {
        let mut options = wrong_options(pair, pairs, random);
        if options.len() + 1 < OPTIONS {
            return None;
        }
        let correct = below(random, OPTIONS);
        options.insert(correct, pair.answer.clone());
        let (before, after) = self.wording;
        let (asked, answer) = (&pair.asked, &pair.answer);
        let text = format!("{before}{asked}{after}");
        let explanation = Some(format!("{asked}: {answer}"));
        let question = Question::choice(text, options, 1 << correct).open_ms(open_ms);
        Some(Question { explanation, ..question })
    }
}

/// Up to three answers of other lines, none of which would be accepted for this one.
fn wrong_options(pair: &Pair, pairs: &[Pair], random: &mut ChaCha8Rng) -> Vec<String> {
    let same = pairs.iter().filter(|other| other.asked == pair.asked);
    let right: BTreeSet<&String> = same.flat_map(|other| &other.accepted).collect();
    let mut siblings: Vec<&Pair> = pairs.iter().collect();
    shuffle(&mut siblings, random);
    let mut seen = BTreeSet::new();
    let wrong = siblings.into_iter().filter(|other| {
        let overlaps = other.accepted.iter().any(|answer| right.contains(answer));
        !overlaps && seen.insert(other.answer.to_lowercase())
    });
    wrong.take(OPTIONS - 1).map(|other| other.answer.clone()).collect()
}

fn printable(text: &str) -> bool {
    !text.chars().any(|character| character.is_control() || character == '\u{fffd}')
}

fn shuffle<T>(items: &mut [T], random: &mut ChaCha8Rng) {
    for index in (1..items.len()).rev() {
        items.swap(index, below(random, index + 1));
    }
}

/// A number below `bound`; the bias of the remainder is far below anything a quiz could show.
fn below(random: &mut ChaCha8Rng, bound: usize) -> usize {
    (random.next_u64() % bound as u64) as usize
}

/// Options of every question.
const OPTIONS: usize = 4;

/// How many accepted spellings are compared; the longest lists of the files have a few dozen.
const ACCEPTED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab;

    const CAPITALS: &str = "Peru:Lima\nChile:Santiago\nCuba:Havana{na}|La Habana\n\
        Djibouti:Djibouti\nBrazil:Bras[i|]lia\nEcuador:Quito\nIsle:La Habana|Port\n";

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn every_question_holds_its_answer_once_among_different_options() {
        let folder = folder(&[("america", CAPITALS)]);
        let script = show(folder.path(), &BankOptions::default()).unwrap();
        assert_eq!(script.questions.len(), 6, "Djibouti gives itself away");
        for question in &script.questions {
            let (options, correct) = question.as_choice().unwrap();
            let correct = &options[correct.trailing_zeros() as usize];
            let (_, answer) = question.explanation.as_ref().unwrap().split_once(": ").unwrap();
            assert_eq!(correct, answer);
            assert_eq!(options.iter().collect::<BTreeSet<_>>().len(), OPTIONS);
        }
    }

    #[test]
    fn no_wrong_option_would_be_accepted() {
        let folder = folder(&[("america", CAPITALS)]);
        for seed in 0..50 {
            let options = BankOptions { seed, ..BankOptions::default() };
            let script = show(folder.path(), &options).unwrap();
            let cuba = script.questions.iter().find(|q| q.text.contains("Cuba")).unwrap();
            assert!(!cuba.as_choice().unwrap().0.contains(&"La Habana".to_owned()), "{cuba:?}");
        }
    }

    #[test]
    fn a_seed_gives_one_show_and_another_seed_another() {
        let folder = folder(&[("america", CAPITALS)]);
        let show_of = |seed| {
            let options = BankOptions { seed, ..BankOptions::default() };
            show(folder.path(), &options).unwrap()
        };
        assert_eq!(show_of(7), show_of(7));
        assert_ne!(show_of(7), show_of(8));
    }

    #[test]
    fn a_folder_without_topics_is_an_error() {
        let error = show(folder(&[]).path(), &BankOptions::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_installed_files_give_a_show_of_more_than_a_hundred_questions() {
        let Some(folder) = find() else { return lab::skip("bsdgames") };
        let options = BankOptions { questions: caps::QUESTIONS_MAX, ..BankOptions::default() };
        let script = show(&folder, &options).unwrap();
        assert!(script.questions.len() > 300, "{}", script.questions.len());
        let file = node::show::to_json(&script);
        let again = node::show::parse(&file).unwrap_or_else(|found| panic!("{found:?}"));
        assert_eq!(again, script);
    }
}
