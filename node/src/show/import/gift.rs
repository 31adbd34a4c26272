//! Moodle's GIFT: `::title:: text {=right ~wrong}`, questions apart by empty lines.
//!
//! A show can hold a choice (one right answer, several with weights, true and false), what is typed (a short
//! answer), and a number with its tolerance, which becomes an estimate. Matching and essays are named and
//! refused. Partial weights become correct or wrong: what gives points is correct. Moodle shuffles what it shows,
//! so that most authors write the right answer first: the order in the file is given up for one that tells
//! nothing.

use super::super::report::{Report, quote};
use super::Follow;
use super::draft::{Correct, Draft, Scale, Words, in_key_blind_order, share_scale};

/// The questions of a file.
pub(super) fn read<'t>(text: &str, follow: Follow<'_>, report: &mut Report) -> Vec<Draft<'t>> {
    let mut drafts = Vec::new();
    let (mut blocks, mut found) = (Blocks { text, at: 0 }, false);
    while let Some(block) = blocks.next_block() {
        found = true;
        follow(block.start());
        drafts.extend(read_block(&block, report));
    }
    if !found {
        report.add(0, "", "the file has no questions");
    }
    share_scale(&mut drafts);
    drafts
}

/// A walk over what empty lines set apart.
struct Blocks<'t> {
    text: &'t str,
    at: usize,
}

impl Blocks<'_> {
    /// The next question's characters, without comments and categories.
    fn next_block(&mut self) -> Option<Block> {
        let mut block = Block::default();
        while self.at < self.text.len() {
            let start = self.at;
            let rest = &self.text[start..];
            let line = rest.split_inclusive('\n').next().unwrap_or(rest);
            self.at += line.len();
            let words = line.trim();
            if words.is_empty() && !block.0.is_empty() {
                break;
            }
            if words.is_empty() || words.starts_with("//") || words.starts_with("$CATEGORY:") {
                continue;
            }
            block.0.extend(line.char_indices().map(|(index, c)| (start + index, c)));
        }
        (!block.0.is_empty()).then_some(block)
    }
}

/// Characters with their places.
#[derive(Debug, Clone, Default)]
struct Block(Vec<(usize, char)>);

impl Block {
    fn start(&self) -> usize {
        self.trimmed().0.first().map_or(0, |(at, _)| *at)
    }

    /// Where the first unescaped `wanted` stands, from `from` on.
    fn find(&self, from: usize, wanted: impl Fn(char) -> bool) -> Option<usize> {
        let mut at = from;
        while let Some((_, c)) = self.0.get(at) {
            match c {
                '\\' => at += 2,
                c if wanted(*c) => return Some(at),
                _ => at += 1,
            }
        }
        None
    }

    /// Where an unescaped pair of characters stands.
    fn find_pair(&self, first: char, second: char) -> Option<usize> {
        let mut from = 0;
        while let Some(at) = self.find(from, |c| c == first) {
            if self.0.get(at + 1).is_some_and(|(_, c)| *c == second) {
                return Some(at);
            }
            from = at + 1;
        }
        None
    }

    fn part(&self, from: usize, to: usize) -> Block {
        let to = to.min(self.0.len());
        Block(self.0[from.min(to)..to].to_vec())
    }

    fn trimmed(&self) -> Block {
        let is_space = |it: &(usize, char)| it.1.is_whitespace();
        let start = self.0.iter().position(|it| !is_space(it)).unwrap_or(self.0.len());
        let end = self.0.iter().rposition(|it| !is_space(it)).map_or(start, |last| last + 1);
        self.part(start, end)
    }

    /// As it stands in the file.
    fn raw(&self) -> String {
        self.0.iter().map(|(_, c)| *c).collect()
    }

    /// The words that are meant, on one line.
    fn words<'t>(&self, html: bool) -> Words<'t> {
        let mut text = String::with_capacity(self.0.len());
        let mut chars = self.0.iter().map(|(_, c)| *c);
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some('n') => text.push(' '),
                    Some(escaped) => text.push(escaped),
                    None => text.push('\\'),
                },
                c => text.push(c),
            }
        }
        let text = if html { without_tags(&text) } else { text };
        Words::new(self.start(), text.trim().to_owned()).on_one_line()
    }
}

fn without_tags(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        plain.push_str(&rest[..open]);
        let Some(close) = rest[open..].find('>') else { break };
        plain.push(' ');
        rest = &rest[open + close + 1..];
    }
    plain.push_str(rest);
    html_escape::decode_html_entities(&plain).into_owned()
}

fn read_block<'t>(block: &Block, report: &mut Report) -> Option<Draft<'t>> {
    let block = block.trimmed();
    let at = block.start();
    let block = without_title(&block, report);
    let Some(open) = block.find(0, |c| c == '{') else {
        report.add(at, "", "a question needs its answers in braces: { =right ~wrong }");
        return None;
    };
    let place = block.0[open].0;
    let Some(close) = block.find(open, |c| c == '}') else {
        report.add(place, "", "this { is never closed by a }");
        return None;
    };
    let (stem, html) = without_markup(&block.part(0, open));
    let tail = block.part(close + 1, block.0.len());
    let mut text = stem.words(html);
    if tail.find(0, |c| c == '{').is_some() {
        report.add(block.0[close].0, "", "a second { in one question: an empty line is missing");
    }
    let tail = tail.words(html).text;
    if !tail.is_empty() {
        text.text = format!("{} _____ {tail}", text.text).into();
    }
    let draft = Draft { at, text: Some(text), ..Draft::default() };
    read_answers(draft, &block.part(open + 1, close), place, report)
}

/// What follows `::title::`.
fn without_title(block: &Block, report: &mut Report) -> Block {
    if !block.raw().starts_with("::") {
        return block.clone();
    }
    let rest = block.part(2, block.0.len());
    match rest.find_pair(':', ':') {
        Some(end) => rest.part(end + 2, rest.0.len()).trimmed(),
        None => {
            report.add(block.start(), "", "the title that begins with :: never ends with ::");
            rest
        }
    }
}

/// What follows `[html]` and the like, and whether it is HTML.
fn without_markup(block: &Block) -> (Block, bool) {
    let block = block.trimmed();
    let raw = block.raw();
    for (mark, html) in
        [("[html]", true), ("[moodle]", true), ("[plain]", false), ("[markdown]", false)]
    {
        if raw.starts_with(mark) {
            return (block.part(mark.len(), block.0.len()), html);
        }
    }
    (block, false)
}

fn read_answers<'t>(
    mut draft: Draft<'t>,
    body: &Block,
    place: usize,
    report: &mut Report,
) -> Option<Draft<'t>> {
    let (body, feedback) = without_feedback(body);
    draft.explanation = feedback.filter(|words| !words.text.is_empty());
    let body = body.trimmed();
    let first = body.raw().chars().next();
    if first == Some('=') || first == Some('~') {
        return read_choice(draft, &body, place, report);
    }
    let word = body.part(0, body.find(0, |c| c == '#').unwrap_or(body.0.len()));
    let word = word.words(false).text.to_uppercase();
    let correct = match (&*word, first) {
        ("T" | "TRUE", _) => 0,
        ("F" | "FALSE", _) => 1,
        (_, None) => return refuse(place, "an essay", report),
        (_, Some('#')) => return read_number(draft, &body, report),
        _ => {
            let message = "answers begin with = where they are right and ~ where they are wrong";
            report.add(body.start(), "", message);
            return None;
        }
    };
    draft.options = Some(vec![Words::new(place, "True"), Words::new(place, "False")]);
    draft.correct = vec![(body.start(), Correct::Option(correct))];
    Some(draft)
}

fn refuse<'t>(place: usize, what: &str, report: &mut Report) -> Option<Draft<'t>> {
    report.add(place, "", format!("{what} cannot be imported: nothing in a show is like it"));
    None
}

/// The answers and the general feedback that `####` sets apart.
fn without_feedback<'t>(body: &Block) -> (Block, Option<Words<'t>>) {
    let mut from = 0;
    while let Some(at) = body.find(from, |c| c == '#') {
        if body.part(at, at + 4).raw() == "####" {
            let (feedback, html) = without_markup(&body.part(at + 4, body.0.len()));
            return (body.part(0, at), Some(feedback.words(html)));
        }
        from = at + 1;
    }
    (body.clone(), None)
}

fn read_choice<'t>(
    mut draft: Draft<'t>,
    body: &Block,
    place: usize,
    report: &mut Report,
) -> Option<Draft<'t>> {
    let answers = split(body);
    if answers.iter().any(|answer| answer.words.find_pair('-', '>').is_some()) {
        return refuse(place, "matching", report);
    }
    if answers.iter().all(|answer| answer.mark == '=') {
        return read_typed(draft, &answers, report);
    }
    let mut options = Vec::with_capacity(answers.len());
    for answer in &answers {
        let (words, weight) = without_weight(&answer.words, report);
        let is_correct = weight.map_or(answer.mark == '=', |weight| weight > 0.0);
        let (words, html) = without_markup(&without_own_feedback(&words));
        let mut words = words.words(html);
        if words.text.is_empty() {
            words.at = answer.at;
        }
        options.push((words, is_correct));
    }
    let (options, correct) = in_key_blind_order(options);
    (draft.options, draft.correct) = (Some(options), correct);
    Some(draft)
}

/// A short answer: every text that gives points is accepted.
fn read_typed<'t>(
    mut draft: Draft<'t>,
    answers: &[Answer],
    report: &mut Report,
) -> Option<Draft<'t>> {
    let mut accepted = Vec::with_capacity(answers.len());
    for answer in answers {
        let (words, weight) = without_weight(&answer.words, report);
        let (words, html) = without_markup(&without_own_feedback(&words));
        if words.find(0, |c| c == '*').is_some() {
            return refuse(words.start(), "an answer with the wildcard *", report);
        }
        if weight.is_none_or(|weight| weight > 0.0) {
            accepted.push(words.words(html));
        }
    }
    draft.accepted = Some(accepted);
    Some(draft)
}

/// A numerical answer: a number, one with a tolerance (`5:1`) or a range (`4..6`), alone or as a list with weights.
fn read_number<'t>(mut draft: Draft<'t>, body: &Block, report: &mut Report) -> Option<Draft<'t>> {
    let at = body.start();
    let body = body.part(1, body.0.len()).trimmed();
    let is_list = matches!(body.0.first(), Some((_, '=' | '~')));
    let alone = || vec![Answer { mark: '=', at, words: body.clone() }];
    let answers = if is_list { split(&body) } else { alone() };
    let mut right: Vec<(f64, (i64, i64))> = Vec::new();
    for answer in &answers {
        let (words, weight) = without_weight(&answer.words, report);
        let weight = weight.unwrap_or(if answer.mark == '=' { 100.0 } else { 0.0 });
        let words = without_own_feedback(&words).words(false);
        match read_range(&words.text) {
            Some(range) if weight > 0.0 => right.push((weight, range)),
            Some(_) => {}
            None => {
                let shown = quote(&words.text);
                let message = format!(
                    "{shown} is no number such as 5, 5:1 or 4..6, with up to three decimals"
                );
                report.add(answer.at, "", message);
                return None;
            }
        }
    }
    let Some((_, (low, high))) = right.iter().copied().reduce(|a, b| if b.0 > a.0 { b } else { a })
    else {
        report.add(at, "", "no number of this question is right");
        return None;
    };
    let correct = low + (high - low) / 2;
    let off = right.iter().map(|(_, (low, high))| (correct - low).max(high - correct)).max();
    draft.estimate = Some((at, Scale::around(correct, off.unwrap_or(0))));
    Some(draft)
}

/// The smallest and the largest of the numbers that are meant, in thousandths.
fn read_range(text: &str) -> Option<(i64, i64)> {
    let (low, high) = if let Some((low, high)) = text.split_once("..") {
        (thousandths(low)?, thousandths(high)?)
    } else {
        let (number, off) = text.split_once(':').unwrap_or((text, "0"));
        let (number, off) = (thousandths(number)?, thousandths(off)?);
        (number - off, number + off)
    };
    (low <= high).then_some((low, high))
}

/// A number in thousandths, if it is one and not too large for a show.
fn thousandths(text: &str) -> Option<i64> {
    let number = text.trim().parse::<f64>().ok()? * 1_000.0;
    let is_whole = (number - number.round()).abs() < 1e-6 * number.abs().max(1.0);
    (is_whole && number.abs() < 1e14).then_some(number.round() as i64)
}

/// What stands before the feedback to one answer.
fn without_own_feedback(words: &Block) -> Block {
    words.part(0, words.find(0, |c| c == '#').unwrap_or(words.0.len()))
}

/// One answer: what marks it, where, and what follows.
struct Answer {
    mark: char,
    at: usize,
    words: Block,
}

fn split(body: &Block) -> Vec<Answer> {
    let mut answers = Vec::new();
    let is_mark = |c: char| c == '=' || c == '~';
    let mut next = body.find(0, is_mark);
    while let Some(at) = next {
        next = body.find(at + 1, is_mark);
        let words = body.part(at + 1, next.unwrap_or(body.0.len()));
        // Moodle also reads `~=right` as right.
        if body.0[at].1 == '~' && next == Some(at + 1) && body.0[at + 1].1 == '=' {
            continue;
        }
        answers.push(Answer { mark: body.0[at].1, at: body.0[at].0, words });
    }
    answers
}

/// What follows `%50%`, and the weight.
fn without_weight(words: &Block, report: &mut Report) -> (Block, Option<f64>) {
    let words = words.trimmed();
    if !words.raw().starts_with('%') {
        return (words, None);
    }
    let end = words.find(1, |c| c == '%');
    let weight = end.and_then(|end| words.part(1, end).raw().trim().parse::<f64>().ok());
    let (Some(end), Some(weight)) = (end, weight) else {
        let shown = quote(&words.raw());
        report.add(words.start(), "", format!("{shown} begins with no weight such as %50%"));
        return (words, None);
    };
    (words.part(end + 1, words.0.len()), Some(weight))
}
