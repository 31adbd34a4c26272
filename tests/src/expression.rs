//! The small pattern language of the `bsdgames` quiz files: one field of a line.
//!
//! `a|b` are alternatives, `{a}` may be left out, `[a|b]` groups, a backslash takes the next
//! character as it is. Deliberately absent: matching; a show needs the text to display and the
//! list of what would have been accepted.

/// A field: alternatives, each a sequence of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression(Vec<Vec<Part>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Group(Expression),
    Optional(Expression),
}

impl Expression {
    /// Reads a field. Unbalanced brackets end where the field ends: the files contain some.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Reader { rest: text.chars() }.alternatives(None)
    }

    /// What is shown: the first alternative everywhere, optional parts included.
    #[must_use]
    pub fn display(&self) -> String {
        let first = self.0.first().into_iter().flatten();
        first.map(Part::display).collect::<String>().trim().to_owned()
    }

    /// Everything that would be accepted, in lower case, at most `max` of it.
    #[must_use]
    pub fn accepted(&self, max: usize) -> Vec<String> {
        let mut accepted: Vec<String> = Vec::new();
        for text in self.expand(max) {
            let text = text.trim().to_lowercase();
            if !accepted.contains(&text) {
                accepted.push(text);
            }
        }
        accepted
    }

    fn expand(&self, max: usize) -> Vec<String> {
        let all = self.0.iter().flat_map(|sequence| {
            sequence.iter().fold(vec![String::new()], |heads, part| part.append_to(&heads, max))
        });
        all.take(max).collect()
    }
}

impl Part {
    fn display(&self) -> String {
        match self {
            Part::Text(text) => text.clone(),
            // The space at the end of "{the }sparrow" matters, so the parts are not trimmed.
            Part::Group(inner) | Part::Optional(inner) => {
                inner.0.first().into_iter().flatten().map(Part::display).collect()
            }
        }
    }

    fn append_to(&self, heads: &[String], max: usize) -> Vec<String> {
        let tails = match self {
            Part::Text(text) => vec![text.clone()],
            Part::Group(inner) => inner.expand(max),
            Part::Optional(inner) => {
                let mut tails = inner.expand(max);
                tails.push(String::new());
                tails
            }
        };
        let pairs = heads.iter().flat_map(|head| tails.iter().map(move |tail| (head, tail)));
        pairs.map(|(head, tail)| format!("{head}{tail}")).take(max).collect()
    }
}

struct Reader<'a> {
    rest: std::str::Chars<'a>,
}

impl Reader<'_> {
    /// Reads up to `end`, or to the end of the field.
    fn alternatives(&mut self, end: Option<char>) -> Expression {
        let mut alternatives = vec![Vec::new()];
        while let Some(next) = self.rest.next() {
            let sequence: &mut Vec<Part> = alternatives.last_mut().expect("starts with one");
            match next {
                _ if Some(next) == end => break,
                '|' => alternatives.push(Vec::new()),
                '{' => sequence.push(Part::Optional(self.alternatives(Some('}')))),
                '[' => sequence.push(Part::Group(self.alternatives(Some(']')))),
                '\\' => push_text(sequence, self.rest.next().unwrap_or('\\')),
                plain => push_text(sequence, plain),
            }
        }
        Expression(alternatives)
    }
}

fn push_text(sequence: &mut Vec<Part>, character: char) {
    match sequence.last_mut() {
        Some(Part::Text(text)) => text.push(character),
        _ => sequence.push(Part::Text(character.into())),
    }
}

/// The fields of every line of a file. A backslash at the end of a line joins the next one.
#[must_use]
pub fn lines(file: &str) -> Vec<Vec<Expression>> {
    let joined = file.replace("\\\r\n", "").replace("\\\n", "");
    let lines = joined.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| fields(line).iter().map(|field| Expression::parse(field)).collect()).collect()
}

/// Splits at colons that no backslash precedes.
fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        let field = fields.last_mut().expect("starts with one");
        match character {
            ':' => fields.push(String::new()),
            '\\' => {
                field.push('\\');
                field.extend(characters.next());
            }
            other => field.push(other),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn display(text: &str) -> String {
        Expression::parse(text).display()
    }

    #[test]
    fn the_first_alternative_is_shown_with_its_optional_parts() {
        for (field, shown) in [
            ("Algiers", "Algiers"),
            ("Alabama|Ala|AL", "Alabama"),
            ("Cal{if{ornia}}|CA", "California"),
            ("forget{-| }me{-| }not", "forget-me-not"),
            ("{the }sparrow", "the sparrow"),
            ("{John {F{.} }}Kennedy|JFK", "John F. Kennedy"),
            ("M[iddle{-}Earth|E]", "Middle-Earth"),
            ("{James |Jim }{T. }Kirk", "James T. Kirk"),
            ("a\\|b\\{c", "a|b{c"),
            ("", ""),
        ] {
            assert_eq!(display(field), shown, "{field}");
        }
    }

    #[test]
    fn everything_accepted_is_listed_in_lower_case() {
        let accepted = |text| Expression::parse(text).accepted(16);
        assert_eq!(accepted("{the }FBI|CIA"), ["the fbi", "fbi", "cia"]);
        assert_eq!(accepted("M[iddle|E]"), ["middle", "me"]);
        assert_eq!(accepted("lion|tiger|Lion"), ["lion", "tiger"]);
    }

    #[test]
    fn the_list_of_what_is_accepted_is_bounded() {
        let wide = "{a}{b}{c}{d}{e}{f}{g}{h}{i}{j}{k}{l}{m}{n}{o}{p}{q}{r}{s}{t}";
        assert_eq!(Expression::parse(wide).accepted(8).len(), 8);
    }

    #[test]
    fn unbalanced_brackets_end_with_the_field() {
        assert_eq!(display("Kenya {East"), "Kenya East");
        assert_eq!(display("x}"), "x}");
    }

    #[test]
    fn a_line_is_split_at_colons_and_continued_by_a_backslash() {
        let lines = lines("one:two\\:2:three\n\nlong:\\\nanswer\n");
        let shown: Vec<Vec<String>> =
            lines.iter().map(|line| line.iter().map(Expression::display).collect()).collect();
        assert_eq!(shown, [vec!["one", "two:2", "three"], vec!["long", "answer"]]);
    }
}
