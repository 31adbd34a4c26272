//! Rows, aliases and names, against a table that is read by looking at all of it.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn player(id: u128, name: &str) -> Player<'_> {
    Player { id: PlayerId(id), name }
}

fn row(origin: u64, number: u32) -> Row {
    Row { origin: Origin(origin), number }
}

fn players<'a>(rows: impl IntoIterator<Item = (Row, Player<'a>)>) -> Players {
    let mut players = Players::default();
    for (row, player) in rows {
        players.insert(row, player);
    }
    players
}

#[test]
fn one_player_taken_twice_counts_once() {
    let mut players = Players::default();
    assert!(!players.insert(row(2, 0), player(9, "Ada")));
    assert!(players.insert(row(1, 0), player(9, "Ada")), "it says that there are two rows");
    assert_eq!(players.count(), 1);
    assert_eq!(players.rows_of(PlayerId(9)).collect::<Vec<_>>(), [row(1, 0), row(2, 0)]);
    assert_eq!(players.shown_name(PlayerId(9)).as_deref(), Some("Ada"));
}

#[test]
fn a_name_taken_on_two_nodes_shows_one_suffix_on_both() {
    let rows = [(row(1, 0), player(0xa, "Ada")), (row(2, 0), player(0xb, " ADA"))];
    for players in [players(rows), players(rows.into_iter().rev())] {
        assert_eq!(players.shown_name(PlayerId(0xa)).as_deref(), Some("Ada"));
        assert_eq!(players.shown_name(PlayerId(0xb)).as_deref(), Some(" ADA (000b)"));
        assert!(players.is_taken("ada", PlayerId(0xc)));
        assert!(!players.is_taken("adam", PlayerId(0xc)));
    }
}

#[test]
fn a_clone_is_a_cut() {
    let mut players = players([(row(1, 0), player(1, "Ada"))]);
    let cut = players.clone();
    players.insert(row(1, 1), player(2, "Bob"));
    players.insert(row(2, 0), player(1, "Ada"));
    assert_eq!((cut.count(), players.count()), (1, 2));
    assert_eq!(cut.rows_of(PlayerId(1)).count(), 1);
    assert!(cut.row_of(PlayerId(2)).is_none() && !cut.is_taken("bob", PlayerId(1)));
}

#[test]
fn a_player_takes_little_beside_id_and_name() {
    let mut players = Players::default();
    for number in 0..20_000u32 {
        let id = xxh3_64(&number.to_le_bytes());
        let name = format!("player {number}");
        players.insert(row(u64::from(number % 3), number / 3), player(id.into(), &name));
    }
    let Footprint { ids, names, name_index, rows } = players.footprint();
    let each = |bytes: usize| bytes / 20_000;
    assert!(each(rows) <= 24, "{} bytes for rows", each(rows));
    assert!(
        each(ids + names + name_index) <= 96,
        "{} for the rest",
        each(ids + names + name_index)
    );
}

/// The same table as its definition says: a map of rows, read by looking at all of them.
#[derive(Debug, Default)]
struct Model(BTreeMap<Row, (PlayerId, String)>);

impl Model {
    fn insert(&mut self, row: Row, player: Player<'_>) {
        let content = (player.id, player.name.to_owned());
        let held = self.0.entry(row).or_insert_with(|| content.clone());
        *held = content.min(held.clone());
    }

    fn rows_of(&self, id: PlayerId) -> Vec<Row> {
        self.0.iter().filter(|(_, (of, _))| *of == id).map(|(row, _)| *row).collect()
    }

    fn shown_name(&self, id: PlayerId) -> Option<String> {
        let name = &self.0[self.rows_of(id).first()?].1;
        let same = |other: &str| skeleton(other) == skeleton(name);
        let (first, _) = self.0.values().find(|(_, other)| same(other))?;
        let bare = *first == id;
        Some(if bare { name.clone() } else { format!("{name} ({:04x})", id.0 as u16) })
    }

    fn check(&self, players: &Players) {
        let ids: BTreeSet<PlayerId> = self.0.values().map(|(id, _)| *id).collect();
        assert_eq!(players.count(), ids.len());
        assert!(players.ids().eq(ids.iter().copied()));
        for id in (0..8).map(PlayerId) {
            assert_eq!(players.rows_of(id).collect::<Vec<_>>(), self.rows_of(id));
            assert_eq!(players.shown_name(id), self.shown_name(id));
            let taken =
                self.0.values().any(|(of, name)| *of != id && skeleton(name) == skeleton("p 1"));
            assert_eq!(players.is_taken(" P  1", id), taken);
        }
        let rows = players.rows().map(|(row, p)| (row, (p.id, p.name.to_owned())));
        assert!(rows.eq(self.0.clone()));
        for (row, (id, _)) in &self.0 {
            assert_eq!(players.is_aliased(*row), self.rows_of(*id).len() > 1);
            assert_eq!(players.get(*row).map(|player| player.id), Some(*id));
        }
    }
}

fn inserts() -> impl Strategy<Value = Vec<(Row, u8, u8)>> {
    let number = prop_oneof![0..6u32, 4_090..4_100u32];
    let one = (1..4u64, number, 0..8u8, 0..5u8);
    let one = one.prop_map(|(origin, number, id, name)| (row(origin, number), id, name));
    proptest::collection::vec(one, 0..40)
}

fn table(inserts: &[(Row, u8, u8)]) -> (Players, Model) {
    let (mut players, mut model) = (Players::default(), Model::default());
    for (row, id, name) in inserts {
        let name = format!("P {name}");
        players.insert(*row, player(u128::from(*id), &name));
        model.insert(*row, player(u128::from(*id), &name));
    }
    (players, model)
}

fn joined(mut a: Players, b: &Players) -> Players {
    a.merge(b.clone());
    a
}

proptest! {
    #[test]
    fn a_table_is_what_its_definition_says(inserts in inserts()) {
        let (players, model) = table(&inserts);
        model.check(&players);
    }

    #[test]
    fn a_table_is_a_lattice(a in inserts(), b in inserts(), c in inserts()) {
        let all: Vec<_> = [&a[..], &b[..], &c[..]].concat();
        let [a, b, c] = [a, b, c].map(|rows| table(&rows).0);
        let both = joined(a.clone(), &b);
        prop_assert_eq!(&both, &joined(b.clone(), &a));
        prop_assert_eq!(joined(both.clone(), &c), joined(a.clone(), &joined(b.clone(), &c)));
        prop_assert_eq!(joined(a.clone(), &a), a.clone());
        prop_assert_eq!(joined(both.clone(), &b), both.clone());
        let (whole, model) = table(&all);
        let joined = joined(both, &c);
        prop_assert_eq!(&joined, &whole);
        model.check(&joined);
    }

    #[test]
    fn digests_and_bytes_know_content_only(mut inserts in inserts(), turn in 0..40usize) {
        let (straight, model) = table(&inserts);
        let turn = turn % (inserts.len() + 1);
        inserts.rotate_left(turn);
        let (turned, _) = table(&inserts);
        prop_assert!(straight.digests().eq(turned.digests()));
        let read: Players =
            postcard::from_bytes(&postcard::to_stdvec(&turned).unwrap()).unwrap();
        prop_assert_eq!(&read, &straight);
        prop_assert!(read.digests().eq(straight.digests()));
        model.check(&read);
    }

    #[test]
    fn no_bytes_make_decoding_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Players::decode(&bytes);
    }
}
