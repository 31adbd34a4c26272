//! The word cloud: a few words of every player, shown by how often they came.

use super::file::{Object, Report, Table};
use super::script::caps::ANSWER_BYTES_MAX;
use super::{Draw, Facts, Gave, Given, Invalid, Kind, PATH_WITHOUT_KEY, Question, Taken};
use crate::stage::Phase;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a word cloud asks for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WordCloud {
    /// How many words a player may give, separated by commas.
    pub words: u32,
}

/// What players see of a word cloud.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WordCloudView {
    /// How many words a player may give, separated by commas.
    pub words: u32,
}

/// A text and how many gave it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Word {
    /// As it was first written in the order of the alphabet, in lower case.
    pub text: String,
    /// How many gave it.
    pub count: u64,
}

/// What a word cloud comes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WordCloudResults {
    /// The words that came most often, those first.
    pub words: Vec<Word>,
}

/// Words that are shown: what a big screen has room for.
const SHOWN: usize = 60;

impl Kind for WordCloud {
    const NAME: &'static str = "word_cloud";
    const FIELDS: &'static [&'static str] = &["words"];
    const PHASES: &'static [Phase] = PATH_WITHOUT_KEY;
    const WORDS_APART: bool = true;
    type View = WordCloudView;
    type Results = WordCloudResults;

    fn read(entry: &Object<'_>, report: &mut Report) -> Option<Self> {
        Some(WordCloud { words: entry.whole("words", 1..=5, report).unwrap_or(3) })
    }

    fn write(&self, out: &mut Table) {
        out.put("words", self.words);
    }

    fn view(&self, _: bool) -> WordCloudView {
        WordCloudView { words: self.words }
    }

    fn guess(view: &WordCloudView, _: Option<&WordCloudResults>, draw: Draw<'_>) -> Given {
        let words: Vec<String> =
            (0..view.words.max(1)).map(|_| format!("word {}", draw(20) + 1)).collect();
        Given { text: Some(words.join(", ")), ..Given::default() }
    }

    fn take(&self, given: &Given) -> Result<Taken, Invalid> {
        let text = given.typed()?;
        let words = split(&text);
        if words.is_empty() {
            return Err(Invalid("no word is given".to_owned()));
        }
        if words.len() > self.words as usize {
            return Err(Invalid(format!("{} words, at most {} count", words.len(), self.words)));
        }
        let text = words.join(", ");
        // In order it can be longer than it was typed: by blanks, and by letters that grow.
        if text.len() > ANSWER_BYTES_MAX {
            return Err(Invalid(format!("{} bytes, at most {ANSWER_BYTES_MAX} count", text.len())));
        }
        Ok(Taken::Answer { value: super::quiz::text_value(&text), text: Some(text) })
    }

    fn given(&self, _: u32, text: Option<&str>) -> Gave {
        Gave::text(text)
    }

    fn rule(&self, _: &Question) -> Option<String> {
        None
    }

    fn counts(&self, _: &Facts<'_>) -> Vec<u64> {
        Vec::new()
    }

    fn results(&self, facts: &Facts<'_>) -> WordCloudResults {
        let texts: Vec<String> =
            facts.answers().filter_map(|(_, _, t)| t.map(str::to_owned)).collect();
        let words = texts.iter().flat_map(|text| text.split(", "));
        WordCloudResults { words: count(words, SHOWN) }
    }
}

/// The words of a text, each once, in lower case.
fn split(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in text.split([',', ';']) {
        let word = word.trim().to_lowercase();
        if !word.is_empty() && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

/// The most frequent of some texts, equals in the order of the alphabet.
pub(super) fn count<'a>(texts: impl Iterator<Item = &'a str>, most: usize) -> Vec<Word> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for text in texts {
        *counts.entry(text.to_lowercase()).or_default() += 1;
    }
    let mut words: Vec<Word> =
        counts.into_iter().map(|(text, count)| Word { text, count }).collect();
    words.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.text.cmp(&b.text)));
    words.truncate(most);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_at_commas_and_counted_once_each() {
        let cloud = WordCloud { words: 2 };
        let given = |text: &str| Given { text: Some(text.into()), ..Given::default() };
        let Ok(Taken::Answer { text, .. }) = cloud.take(&given(" Big Sky, rain,big sky ")) else {
            panic!("two words are taken")
        };
        assert_eq!(text.as_deref(), Some("big sky, rain"));
        assert!(cloud.take(&given("a, b, c")).is_err());
        assert!(cloud.take(&given(" , ")).is_err());
    }

    #[test]
    fn words_that_grow_beyond_what_is_held_are_refused() {
        let cloud = WordCloud { words: 3 };
        let given = |text: String| Given { text: Some(text), ..Given::default() };
        let joined = format!("{},{}", "a".repeat(100), "b".repeat(99));
        // A letter of two bytes whose small form has three.
        let grown = "Ⱥ".repeat(100);
        for text in [joined, grown] {
            assert!(text.len() <= ANSWER_BYTES_MAX);
            assert!(cloud.take(&given(text)).is_err());
        }
        assert!(cloud.take(&given("a".repeat(ANSWER_BYTES_MAX))).is_ok());
    }

    #[test]
    fn the_most_frequent_come_first() {
        let words = count(["b", "A", "c", "b", "a", "B"].into_iter(), 2);
        let all: Vec<_> = words.iter().map(|word| (word.text.as_str(), word.count)).collect();
        assert_eq!(all, [("b", 3), ("a", 2)]);
    }
}
