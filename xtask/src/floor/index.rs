//! Two open-addressing tables: ids to dense numbers, and the last row that holds a key.

use crate::random::mix;

/// Numbers ids from 0 in the order in which they are first seen.
pub struct Numbering {
    /// Id and number + 1; a number of 0 is an empty slot.
    slots: Vec<(i64, u32)>,
    len: u32,
}

impl Numbering {
    pub fn new() -> Self {
        Numbering { slots: vec![(0, 0); 1024], len: 0 }
    }

    /// How many ids have a number.
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// The id's number, a new one when it has none.
    pub fn number(&mut self, id: i64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut slot = mix(id as u64) as usize & mask;
        loop {
            match self.slots[slot] {
                (_, 0) => break,
                (found, number) if found == id => return number - 1,
                _ => slot = (slot + 1) & mask,
            }
        }
        self.len += 1;
        self.slots[slot] = (id, self.len);
        if self.len() * 2 > self.slots.len() {
            self.grow();
        }
        self.len - 1
    }

    fn grow(&mut self) {
        let mask = self.slots.len() * 2 - 1;
        let old = std::mem::replace(&mut self.slots, vec![(0, 0); mask + 1]);
        for (id, number) in old.into_iter().filter(|(_, number)| *number != 0) {
            let mut slot = mix(id as u64) as usize & mask;
            while self.slots[slot].1 != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = (id, number);
        }
    }
}

/// The last row of each key among the rows of a window. Holds row numbers alone; keys are read from the rows.
pub struct Last {
    /// Row + 1; 0 is an empty slot.
    slots: Vec<u64>,
    len: usize,
}

impl Last {
    pub fn new() -> Self {
        Last { slots: vec![0; 1024], len: 0 }
    }

    /// Makes the row the last of its key; whether the key is new.
    pub fn enter(&mut self, row: u64, key: impl Fn(u64) -> (u32, i64)) -> bool {
        let wanted = key(row);
        let mask = self.slots.len() - 1;
        let mut slot = hash(wanted) & mask;
        while self.slots[slot] != 0 {
            if key(self.slots[slot] - 1) == wanted {
                self.slots[slot] = row + 1;
                return false;
            }
            slot = (slot + 1) & mask;
        }
        self.slots[slot] = row + 1;
        self.len += 1;
        if self.len * 2 > self.slots.len() {
            self.grow(key);
        }
        true
    }

    /// Takes the row out; whether its key is gone with it.
    pub fn leave(&mut self, row: u64, key: impl Fn(u64) -> (u32, i64)) -> bool {
        let mask = self.slots.len() - 1;
        let mut slot = hash(key(row)) & mask;
        while self.slots[slot] != row + 1 {
            if self.slots[slot] == 0 {
                return false;
            }
            slot = (slot + 1) & mask;
        }
        self.len -= 1;
        // Later keys of the run move up, so that none is cut off from its home.
        let mut next = (slot + 1) & mask;
        while self.slots[next] != 0 {
            let home = hash(key(self.slots[next] - 1)) & mask;
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(slot) & mask {
                self.slots[slot] = self.slots[next];
                slot = next;
            }
            next = (next + 1) & mask;
        }
        self.slots[slot] = 0;
        true
    }

    fn grow(&mut self, key: impl Fn(u64) -> (u32, i64)) {
        let mask = self.slots.len() * 2 - 1;
        let old = std::mem::replace(&mut self.slots, vec![0; mask + 1]);
        for row in old.into_iter().filter(|row| *row != 0) {
            let mut slot = hash(key(row - 1)) & mask;
            while self.slots[slot] != 0 {
                slot = (slot + 1) & mask;
            }
            self.slots[slot] = row;
        }
    }
}

fn hash((number, value): (u32, i64)) -> usize {
    mix(value as u64 ^ u64::from(number).rotate_left(40)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Draws;
    use std::collections::BTreeMap;

    #[test]
    fn the_last_row_of_a_key_is_as_in_a_tree() {
        let mut draws = Draws::new(7, 1, 0);
        let keys: Vec<(u32, i64)> = (0..20_000).map(|_| (draws.below(40) as u32, draws.below(90) as i64)).collect();
        let key = |row: u64| keys[row as usize];
        let (mut found, mut expected) = (Last::new(), BTreeMap::new());
        for row in 0..keys.len() as u64 {
            assert_eq!(found.enter(row, key), expected.insert(key(row), row).is_none());
            if let Some(old) = row.checked_sub(3000) {
                let gone = expected.get(&key(old)) == Some(&old);
                if gone {
                    expected.remove(&key(old));
                }
                assert_eq!(found.leave(old, key), gone);
            }
        }
    }
}
