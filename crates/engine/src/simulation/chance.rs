//! Chance that a seed repeats, and the trace of what it led to.

/// A splitmix64 sequence.
#[derive(Clone)]
pub struct Chance(pub u64);

fn mix(value: u64) -> u64 {
    let mut word = value;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl Chance {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below a bound.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    /// True so many times in ten thousand.
    pub fn hits(&mut self, times: usize) -> bool {
        times > 0 && self.below(10_000) < times
    }

    /// One of several.
    pub fn of<T: Copy>(&mut self, several: &[T]) -> T {
        several[self.below(several.len())]
    }
}

/// A hash over everything that a seed led to, in its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace(pub u64);

impl Trace {
    pub fn add(&mut self, number: u64) {
        self.0 = mix(self.0.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ number);
    }

    pub fn text(&mut self, text: &str) {
        self.add(text.len() as u64);
        text.as_bytes().chunks(8).for_each(|chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.add(u64::from_le_bytes(word));
        });
    }
}
