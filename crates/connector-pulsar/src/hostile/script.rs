//! What happens to a machine, one thing after the other.
//!
//! ```text
//! size u32 > 0, frame        the broker says this
//! 0 u32, step u8, how u8     something else happens
//! anything else              the broker says these bytes, and no more
//! ```

/// Chance for mutants.
pub trait Numbers {
    /// A number below a bound.
    fn below(&mut self, bound: usize) -> usize;
}

impl dyn Numbers + '_ {
    /// One of several.
    pub fn of<T: Copy>(&mut self, several: &[T]) -> T {
        several[self.below(several.len())]
    }
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// The broker says bytes: a frame with its size, or what is none.
    Said(Vec<u8>),
    /// Something else, and how much of it.
    Step(Step, u8),
}

/// What happens beside what the broker says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The connection ends.
    Cut,
    /// Time goes by.
    Wait,
    /// Whoever runs the machine takes messages, or gives it some.
    Take,
    /// What was taken is not needed any more.
    Release,
    /// The machine is told to ask something.
    Ask,
    /// The broker reads no more, or reads again.
    Deafen,
    /// The run ends, and another one goes on from what it had.
    Rerun,
}

/// All steps, in the order of their numbers.
pub const STEPS: [Step; 7] = [Step::Cut, Step::Wait, Step::Take, Step::Release, Step::Ask, Step::Deafen, Step::Rerun];

/// How many things one script may have.
const HAPPENINGS_MAX: usize = 2000;

/// Everything that happens, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub happenings: Vec<Happening>,
}

impl Script {
    /// Reads a script; any bytes are one.
    pub fn cut(mut bytes: &[u8]) -> Script {
        let mut happenings = Vec::new();
        while !bytes.is_empty() && happenings.len() < HAPPENINGS_MAX {
            let size = bytes.first_chunk::<4>().map_or(usize::MAX, |size| u32::from_be_bytes(*size) as usize);
            let rest = bytes.get(4..).unwrap_or_default();
            match (size, rest) {
                (0, [step, how, after @ ..]) => {
                    happenings.push(Happening::Step(STEPS[usize::from(*step) % STEPS.len()], *how));
                    bytes = after;
                }
                (size, rest) if size > 0 && size <= rest.len() => {
                    happenings.push(Happening::Said(bytes[..4 + size].to_vec()));
                    bytes = &rest[size..];
                }
                _ => {
                    happenings.push(Happening::Said(bytes.to_vec()));
                    bytes = &[];
                }
            }
        }
        Script { happenings }
    }

    /// The bytes of a script.
    pub fn joined(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for happening in &self.happenings {
            match happening {
                Happening::Said(said) => bytes.extend_from_slice(said),
                Happening::Step(step, how) => {
                    let number = STEPS.iter().position(|one| one == step).unwrap_or_default();
                    bytes.extend_from_slice(&[0, 0, 0, 0, number as u8, *how]);
                }
            }
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_script_and_those_of_a_script_are_the_same_again(
            bytes in proptest::collection::vec(0u8..9, 0..200)
        ) {
            let script = Script::cut(&bytes);
            prop_assert_eq!(&Script::cut(&script.joined()), &script);
        }
    }
}
