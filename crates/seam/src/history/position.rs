//! How far a share of a history was given out, as a checkpoint has it.

use dataflow::{Error, EventTime, Result, RowOrder};
use std::collections::BTreeMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

const VERSION: u8 = 1;
const UNFINISHED: u8 = 0;
const FINISHED: u8 = 1;

/// What tells one plan of a history from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PlanDigest {
    /// Of the row groups in their order, and of the rule by which their rows have times and orders.
    pub digest: u64,
    /// How many files there are.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

/// A place in the order of the rows.
pub(crate) type Place = (EventTime, RowOrder);

/// How far a share was given out.
///
/// All its rows before `place` were, and so many of those exactly there: rows of one place are equal, so it does not
/// matter which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharePosition {
    /// Which history, cut into which shares.
    pub plan: PlanDigest,
    /// Some of its files with their sizes: those of all 64 shares together are all, so that one that is missing later
    /// can be named.
    pub files: Arc<[(String, u64)]>,
    /// The place of the last row that was given out of this share, or of one of the same reader's after it.
    pub place: Option<Place>,
    /// How many rows of this share exactly at `place` were given out.
    pub rows_at_place: u64,
    /// Of row groups, by their number in the plan, so many rows were read, of which those that do not go on were counted
    /// and have left at other ports. Row groups without such rows are not listed.
    pub aside: BTreeMap<u64, u64>,
    /// Whether every row was given out. A finished share asks for no files, and names none.
    pub is_finished: bool,
}

impl SharePosition {
    /// The versioned form.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, if self.is_finished { FINISHED } else { UNFINISHED }];
        for number in [self.plan.digest, self.plan.files, self.plan.bytes] {
            bytes.extend(number.to_le_bytes());
        }
        if !self.is_finished {
            bytes.extend((self.files.len() as u64).to_le_bytes());
            for (path, size) in self.files.iter() {
                bytes.extend((path.len() as u64).to_le_bytes());
                bytes.extend(path.as_bytes());
                bytes.extend(size.to_le_bytes());
            }
            bytes.push(u8::from(self.place.is_some()));
            if let Some((time, order)) = self.place {
                bytes.extend(time.0.to_le_bytes());
                bytes.extend(order.0.to_le_bytes());
                bytes.extend(self.rows_at_place.to_le_bytes());
            }
            bytes.extend((self.aside.len() as u64).to_le_bytes());
            for (group, rows) in &self.aside {
                bytes.extend(group.to_le_bytes());
                bytes.extend(rows.to_le_bytes());
            }
        }
        bytes.extend(xxh3_64(&bytes).to_le_bytes());
        bytes
    }

    /// Reads the versioned form; an error names the share.
    pub fn parse(share: u16, bytes: &[u8]) -> Result<SharePosition> {
        SharePosition::read(bytes)
            .map_err(|why| Error::corrupt(format!("the position of share {share} of a history cannot be read: {why}")))
    }

    fn read(bytes: &[u8]) -> Result<SharePosition, String> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(other) => return Err(format!("it has version {other}, expected {VERSION}")),
            None => return Err("it is empty".to_owned()),
        }
        let (bytes, told) = bytes.split_last_chunk().ok_or("it has too few bytes")?;
        if xxh3_64(bytes) != u64::from_le_bytes(*told) {
            return Err(format!("the checksum of its {} bytes is wrong", bytes.len()));
        }
        let mut left = Bytes(&bytes[1..]);
        let state = left.byte()?;
        if ![UNFINISHED, FINISHED].contains(&state) {
            return Err(format!("it has state {state}, expected {UNFINISHED} or {FINISHED}"));
        }
        let plan = PlanDigest { digest: left.number()?, files: left.number()?, bytes: left.number()? };
        let mut position = SharePosition::finished(plan);
        match state {
            FINISHED => {}
            _ => {
                position.is_finished = false;
                position.files = (0..left.number()?).map(|_| left.file()).collect::<Result<_, _>>()?;
                if left.byte()? != 0 {
                    position.place = Some((EventTime(left.number()? as i64), RowOrder(left.order()?)));
                    position.rows_at_place = left.number()?;
                }
                position.aside =
                    (0..left.number()?).map(|_| Ok((left.number()?, left.number()?))).collect::<Result<_, String>>()?;
            }
        }
        if left.0.is_empty() { Ok(position) } else { Err(format!("{} bytes follow its end", left.0.len())) }
    }

    /// The position of a share of which every row was given out.
    pub fn finished(plan: PlanDigest) -> SharePosition {
        SharePosition {
            plan,
            files: Arc::new([]),
            place: None,
            rows_at_place: 0,
            aside: BTreeMap::new(),
            is_finished: true,
        }
    }

    /// No row that is still to be given out lies before this.
    pub fn least(&self) -> i64 {
        self.place.map_or(i64::MIN, |(time, _)| time.0)
    }
}

/// The bytes that are still to be read.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let (taken, left) = self.0.split_first_chunk().ok_or("it ends too soon")?;
        self.0 = left;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.take::<1>()?[0])
    }

    fn number(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    fn order(&mut self) -> Result<u128, String> {
        Ok(u128::from_le_bytes(self.take()?))
    }

    fn file(&mut self) -> Result<(String, u64), String> {
        let length = self.number()?;
        let length = usize::try_from(length).ok().filter(|&length| length <= self.0.len());
        let (path, left) = self.0.split_at(length.ok_or("a path in it is longer than it is")?);
        self.0 = left;
        let path = std::str::from_utf8(path).map_err(|_| "a path in it is not UTF-8")?;
        Ok((path.to_owned(), self.number()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> SharePosition {
        SharePosition {
            plan: PlanDigest { digest: 0x0102_0304_0506_0708, files: 3, bytes: 1 << 40 },
            files: Arc::new([("data/größe.parquet".to_owned(), 77)]),
            place: Some((EventTime(-5), RowOrder(9 << 70))),
            rows_at_place: 2,
            aside: BTreeMap::from([(1, 100), (65, 3)]),
            is_finished: false,
        }
    }

    const STORED: &str = "0100080706050403020103000000000000000000000000010000010000000000000014000000000000006461\
        74612f6772c3b6c39f652e706172717565744d0000000000000001fbffffffffffffff00000000000000004002000000000000\
        0200000000000000020000000000000001000000000000006400000000000000410000000000000003000000000000\
        00b1ceb25e0428f70b";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn version_one_is_read_for_as_long_as_there_are_checkpoints() {
        let bytes = sample().to_bytes();
        assert_eq!(hex(&bytes), STORED);
        assert_eq!(SharePosition::parse(3, &bytes).unwrap(), sample());
        let start = SharePosition { place: None, rows_at_place: 0, ..sample() };
        for position in [start, SharePosition::finished(sample().plan)] {
            assert_eq!(SharePosition::parse(3, &position.to_bytes()).unwrap(), position);
        }
    }

    #[test]
    fn bytes_that_are_damaged_are_refused_by_name() {
        let bytes = sample().to_bytes();
        for length in 0..bytes.len() {
            let error = SharePosition::parse(7, &bytes[..length]).unwrap_err().to_string();
            assert!(error.starts_with("the position of share 7 of a history cannot be read: "), "{error}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x10;
            SharePosition::parse(7, &damaged).unwrap_err();
        }
        let mut other = bytes.clone();
        other[0] = 2;
        let error = SharePosition::parse(7, &other).unwrap_err().to_string();
        assert!(error.ends_with("it has version 2, expected 1"), "{error}");
    }

    #[test]
    fn a_right_checksum_over_wrong_bytes_does_not_help_them() {
        let checked = |mut bytes: Vec<u8>| {
            bytes.extend(xxh3_64(&bytes).to_le_bytes());
            SharePosition::parse(0, &bytes).unwrap_err().to_string()
        };
        let whole = sample().to_bytes();
        let body = &whole[..whole.len() - 8];
        for length in 2..body.len() {
            checked(body[..length].to_vec());
        }
        assert!(checked([body, &[0]].concat()).ends_with("1 bytes follow its end"));
        assert!(checked(vec![VERSION, 5]).ends_with("it has state 5, expected 0 or 1"));
        // A count that no memory could hold.
        let huge = [&body[..26], &u64::MAX.to_le_bytes()].concat();
        assert!(checked(huge).ends_with("it ends too soon"));
    }
}
