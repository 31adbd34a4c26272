//! The tree as it is looked at: names, states, counts.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a child is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    #[default]
    Running,
    /// It panicked and will be started again in a moment.
    Waiting,
    /// It ended by itself.
    Ended,
    /// It panicked too often and stays down.
    GaveUp,
}

/// A branch of the tree or a child of it, at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BranchView {
    /// What it is called.
    pub name: String,
    /// How it is.
    pub state: State,
    /// How often it was started again.
    pub restarts: u64,
    /// How often it panicked.
    pub panics: u64,
    /// What its last panic said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_panic: Option<String>,
    /// What is below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<BranchView>,
}

#[derive(Debug)]
pub(super) struct Branch {
    name: String,
    restarts: AtomicU64,
    panics: AtomicU64,
    status: Mutex<Status>,
    children: Mutex<Children>,
}

#[derive(Debug, Default)]
struct Children {
    all: Vec<Arc<Branch>>,
    /// From so many on those that have ended are looked for: twice as many as were left the last time.
    crowded: usize,
}

#[derive(Debug, Default)]
struct Status {
    state: State,
    last_panic: Option<String>,
}

impl Branch {
    pub(super) fn new(name: &str) -> Self {
        let (restarts, panics) = (AtomicU64::new(0), AtomicU64::new(0));
        let (status, children) = (Mutex::default(), Mutex::default());
        Branch { name: name.to_owned(), restarts, panics, status, children }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Takes a child; those that have ended are forgotten, now and then.
    pub(super) fn adopt(&self, child: &Arc<Branch>) {
        let mut children = lock(&self.children);
        if children.all.len() >= children.crowded {
            children.all.retain(|child| lock(&child.status).state != State::Ended);
            children.crowded = 2 * children.all.len().max(CROWDED_MIN);
        }
        children.all.push(Arc::clone(child));
    }

    pub(super) fn set(&self, state: State) {
        lock(&self.status).state = state;
    }

    pub(super) fn panicked(&self, said: &str) {
        self.panics.fetch_add(1, Relaxed);
        let said = said.chars().take(PANIC_CHARS_MAX).collect();
        lock(&self.status).last_panic = Some(said);
    }

    pub(super) fn restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    pub(super) fn gave_up(&self, said: &str) {
        let mut status = lock(&self.status);
        status.state = State::GaveUp;
        status.last_panic.get_or_insert_with(|| said.to_owned());
    }

    pub(super) fn view(&self) -> BranchView {
        let children = lock(&self.children).all.clone();
        let children = children.iter().map(|child| child.view()).collect();
        let status = lock(&self.status);
        BranchView {
            name: self.name.clone(),
            state: status.state,
            restarts: self.restarts.load(Relaxed),
            panics: self.panics.load(Relaxed),
            last_panic: status.last_panic.clone(),
            children,
        }
    }
}

impl BranchView {
    /// All of them, each with its path from here.
    #[must_use]
    pub fn flat(&self) -> Vec<(String, &BranchView)> {
        let mut all = vec![(self.name.clone(), self)];
        for child in &self.children {
            let below = child.flat().into_iter();
            all.extend(below.map(|(path, view)| (format!("{}/{path}", self.name), view)));
        }
        all
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Children of whom none is looked for: 16, arbitrary.
const CROWDED_MIN: usize = 16;
/// What is kept of a panic's words.
const PANIC_CHARS_MAX: usize = 300;
