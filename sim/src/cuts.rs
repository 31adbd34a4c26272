//! The paths on which nothing passes, in both fidelities: of nodes by their numbers, of machines by their addresses.

use std::collections::BTreeMap;

/// How many cuts are on each path, from and to: it heals with the last of them.
#[derive(Debug)]
pub(crate) struct Cuts<A>(BTreeMap<(A, A), u32>);

impl<A> Default for Cuts<A> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<A: Ord + Copy> Cuts<A> {
    /// One cut begins on a path, or is over.
    pub(crate) fn set(&mut self, path: (A, A), apart: bool) {
        if apart {
            *self.0.entry(path).or_default() += 1;
        } else if let Some(cuts) = self.0.get_mut(&path) {
            *cuts -= 1;
            if *cuts == 0 {
                self.0.remove(&path);
            }
        }
    }

    /// Whether nothing passes.
    pub(crate) fn is_cut(&self, from: A, to: A) -> bool {
        self.0.contains_key(&(from, to))
    }

    /// Ends every cut, and says where there were some.
    pub(crate) fn heal(&mut self) -> Vec<(A, A)> {
        std::mem::take(&mut self.0).into_keys().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_heals_with_the_last_of_its_cuts_and_cuts_are_directed() {
        let mut cuts = Cuts::default();
        [true, true, false].into_iter().for_each(|apart| cuts.set((1, 2), apart));
        assert!(cuts.is_cut(1, 2) && !cuts.is_cut(2, 1));
        cuts.set((1, 2), false);
        cuts.set((1, 2), false);
        assert!(!cuts.is_cut(1, 2));
        cuts.set((1, 2), true);
        assert!(cuts.is_cut(1, 2), "what was over once too often is forgotten");
        assert_eq!(cuts.heal(), [(1, 2)]);
        assert!(!cuts.is_cut(1, 2));
    }
}
