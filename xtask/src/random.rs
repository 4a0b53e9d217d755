//! Numbers that look random and are functions of a seed and a place, so that any row can be made alone.

/// The splitmix64 finaliser: a bijection of 64 bits.
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A sequence of draws that belongs to one thing of one seed, such as a session.
pub struct Draws {
    state: u64,
}

impl Draws {
    /// The draws of the thing `index` of a kind.
    pub fn new(seed: u64, kind: u64, index: u64) -> Self {
        Draws { state: mix(mix(seed ^ kind.rotate_left(32)) ^ index) }
    }

    /// 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// A number from 0 up to, without, 1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A number from 0 up to, without, the bound.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// True with the given chance.
    pub fn chance(&mut self, chance: f64) -> bool {
        self.unit() < chance
    }

    /// Exponentially distributed with the given mean.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// A rank from 0 up to, without, `count`, with chances falling as 1 / (rank + shift).
    pub fn zipf(&mut self, count: u64, shift: f64) -> u64 {
        let rank = shift * ((count as f64 + shift) / shift).powf(self.unit()) - shift;
        (rank as u64).min(count - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_draws_the_same_again_and_things_differ() {
        let first: Vec<u64> = (0..4).map(|index| Draws::new(42, 1, index).bits()).collect();
        let again: Vec<u64> = (0..4).map(|index| Draws::new(42, 1, index).bits()).collect();
        assert_eq!(first, again);
        assert!(first.iter().all(|bits| first.iter().filter(|other| *other == bits).count() == 1));
    }

    #[test]
    fn the_hottest_author_has_half_a_percent() {
        let mut draws = Draws::new(42, 1, 0);
        let hits = (0..100_000).filter(|_| draws.zipf(1_000_000, 20.0) == 0).count();
        assert!((380..540).contains(&hits), "{hits} of 100000 draws");
    }
}
