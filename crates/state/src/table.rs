//! Keyed tables: one entry per key, indexed by the key's dense id.

/// One entry per key id; entries that were never set are the default.
#[derive(Clone, Debug, Default)]
pub struct Table<T> {
    entries: Vec<T>,
}

impl<T: Clone + Default> Table<T> {
    /// The entry of a key; the default when the id is beyond all that were set.
    #[inline]
    pub fn get(&self, key: u32) -> T {
        self.entries.get(key as usize).cloned().unwrap_or_default()
    }

    /// The entry of a key, to be changed.
    #[inline]
    pub fn get_mut(&mut self, key: u32) -> &mut T {
        let key = key as usize;
        if key >= self.entries.len() {
            self.grow(key);
        }
        &mut self.entries[key]
    }

    #[cold]
    fn grow(&mut self, key: usize) {
        self.entries.resize(key + 1, T::default());
    }

    /// The bytes that the entries take, without what they point at.
    pub fn size(&self) -> usize {
        self.entries.capacity() * size_of::<T>()
    }
}
