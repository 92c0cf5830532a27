//! Values and texts with numbers: equal ones have the same.

use std::fmt;
use std::hash::{BuildHasher as _, Hash};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Values with numbers.
#[derive(Clone)]
pub(super) struct Table<T> {
    pub(super) items: Vec<T>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { items: Vec::new(), numbers: HashTable::new(), hasher: RandomState::default() }
    }
}

impl<T: fmt::Debug> fmt::Debug for Table<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.items).finish()
    }
}

impl<T: Eq + Hash> Table<T> {
    /// Returns the number of a value, which is added if it is new.
    pub(super) fn number(&mut self, item: T) -> u32 {
        let Self { items, numbers, hasher } = self;
        let is_it = |number: &u32| items[*number as usize] == item;
        let hash = |number: &u32| hasher.hash_one(&items[*number as usize]);
        match numbers.entry(hasher.hash_one(&item), is_it, hash) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let number = items.len() as u32;
                new.insert(number);
                items.push(item);
                number
            }
        }
    }

    /// Frees what numbers are looked up by: from now on, only what is new may be added.
    pub(super) fn forget(&mut self) {
        self.numbers = HashTable::new();
    }

    /// Returns the number of a value that is there.
    pub(super) fn known(&self, item: &T) -> Option<u32> {
        self.numbers.find(self.hasher.hash_one(item), |number| self.items[*number as usize] == *item).copied()
    }
}

/// Texts with numbers, one after the other in memory.
#[derive(Clone, Default)]
pub(super) struct Texts {
    all: String,
    /// For each text where it ends.
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Texts {
    /// Returns the number of a text, which is added if it is new.
    pub(super) fn number(&mut self, text: &str) -> u32 {
        let Self { all, ends, numbers, hasher } = self;
        let is_it = |number: &u32| get(all, ends, *number) == text;
        let hash = |number: &u32| hasher.hash_one(get(all, ends, *number));
        match numbers.entry(hasher.hash_one(text), is_it, hash) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let number = ends.len() as u32;
                new.insert(number);
                all.push_str(text);
                ends.push(all.len());
                number
            }
        }
    }

    /// Frees what numbers are looked up by: from now on, only what is new may be added.
    pub(super) fn forget(&mut self) {
        self.numbers = HashTable::new();
    }

    /// Returns a text by its number; an empty one for a number that no text has.
    pub(super) fn get(&self, number: u32) -> &str {
        get(&self.all, &self.ends, number)
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len() as u32).map(|number| self.get(number))
    }
}

fn get<'a>(all: &'a str, ends: &[usize], number: u32) -> &'a str {
    let end = |number: u32| ends.get(number as usize).copied();
    let begin = number.checked_sub(1).and_then(end).unwrap_or_default();
    end(number).and_then(|end| all.get(begin..end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_have_one_number() {
        let mut texts = Texts::default();
        let numbers = ["a", "", "bc", "a", "", "bc"].map(|text| texts.number(text));
        assert_eq!((numbers, texts.len()), ([0, 1, 2, 0, 1, 2], 3));
        assert_eq!(texts.iter().collect::<Vec<_>>(), ["a", "", "bc"]);
        assert_eq!((texts.get(2), texts.get(3)), ("bc", ""));
    }
}
