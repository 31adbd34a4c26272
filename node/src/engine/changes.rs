//! Which of many things changed when, by number: whoever knows how things stood at a number asks for those that have
//! changed since, and looks at no other.

use std::collections::BTreeMap;

/// Of each thing the number of its newest change, which no other change has.
#[derive(Debug, Clone)]
pub struct Changes<T> {
    things: BTreeMap<u64, T>,
    numbers: BTreeMap<T, u64>,
    newest: u64,
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        Changes { things: BTreeMap::new(), numbers: BTreeMap::new(), newest: 0 }
    }
}

impl<T: Copy + Ord> Changes<T> {
    /// Something has changed.
    pub fn note(&mut self, thing: T) {
        self.newest += 1;
        if let Some(before) = self.numbers.insert(thing, self.newest) {
            self.things.remove(&before);
        }
        self.things.insert(self.newest, thing);
    }

    /// The number of the newest change; 0 before the first.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// What has changed since a number, in the order of the newest changes, with theirs.
    pub fn since(&self, number: u64) -> impl Iterator<Item = (u64, T)> {
        self.things.range(number + 1..).map(|(number, thing)| (*number, *thing))
    }

    /// # Panics
    /// If the changes are not one for each thing: a bug of this module.
    pub fn check(&self) {
        let same = |(thing, number): (&T, &u64)| self.things.get(number) == Some(thing);
        assert!(self.things.len() == self.numbers.len(), "each thing changed last once");
        assert!(self.numbers.iter().all(same), "and is found by the number of that change");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_changed_since_is_told_once_and_as_of_its_newest_change() {
        let mut changes = Changes::default();
        "abcab".chars().for_each(|thing| changes.note(thing));
        changes.check();
        assert_eq!(changes.newest(), 5);
        assert_eq!(changes.since(0).collect::<Vec<_>>(), [(3, 'c'), (4, 'a'), (5, 'b')]);
        assert_eq!(changes.since(4).collect::<Vec<_>>(), [(5, 'b')]);
        assert_eq!(changes.since(5).next(), None);
    }
}
