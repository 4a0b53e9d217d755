//! Fields as they lie in the bytes of a message.

/// How deep groups may lie in each other.
const DEPTH_MAX: usize = 100;

/// What a step may find wrong.
pub type Step<T = ()> = std::result::Result<T, String>;

/// The bytes of a field's value.
#[derive(Clone, Copy, Debug)]
pub enum Raw<'a> {
    Varint(u64),
    Eight([u8; 8]),
    Four([u8; 4]),
    Sized(&'a [u8]),
    /// What lies between the two tags of a group.
    Group(&'a [u8]),
}

/// The next field of a message, with its number; none at the end.
pub fn next_field<'a>(rest: &mut &'a [u8]) -> Step<Option<(u32, Raw<'a>)>> {
    if rest.is_empty() {
        return Ok(None);
    }
    let tag = tag(rest)?;
    let raw = match tag.1 {
        3 => Raw::Group(group(rest, tag.0)?),
        4 => return Err(format!("group {} ends and has not begun", tag.0)),
        kind => value(rest, kind)?,
    };
    Ok(Some((tag.0, raw)))
}

fn tag(rest: &mut &[u8]) -> Step<(u32, u64)> {
    let tag = varint(rest)?;
    match u32::try_from(tag >> 3) {
        Ok(number) if number > 0 && number < 1 << 29 => Ok((number, tag & 7)),
        _ => Err(format!("{} is no number of a field", tag >> 3)),
    }
}

fn value<'a>(rest: &mut &'a [u8], kind: u64) -> Step<Raw<'a>> {
    Ok(match kind {
        0 => Raw::Varint(varint(rest)?),
        1 => Raw::Eight(array(rest)?),
        2 => {
            let size = varint(rest)?;
            let size = usize::try_from(size).map_err(|_| format!("a length is {size}"))?;
            Raw::Sized(take(rest, size)?)
        }
        5 => Raw::Four(array(rest)?),
        other => return Err(format!("{other} is no type of the bytes of a field")),
    })
}

/// What lies before the end of a group that has begun; the bytes go on after it.
fn group<'a>(rest: &mut &'a [u8], number: u32) -> Step<&'a [u8]> {
    let (whole, mut open) = (*rest, vec![number]);
    loop {
        let before = rest.len();
        let (number, kind) = tag(rest)?;
        match kind {
            3 if open.len() >= DEPTH_MAX => return Err(format!("it is nested more than {DEPTH_MAX} deep")),
            3 => open.push(number),
            4 if open.pop() != Some(number) => return Err(format!("group {number} ends within another")),
            4 if open.is_empty() => return Ok(&whole[..whole.len() - before]),
            4 => {}
            kind => drop(value(rest, kind)?),
        }
    }
}

/// The next number of so many bytes as it needs.
pub fn varint(rest: &mut &[u8]) -> Step<u64> {
    let mut value = 0u64;
    for shift in (0..70).step_by(7) {
        let [byte] = array(rest)?;
        let part = u64::from(byte & 127);
        if shift == 63 && part > 1 {
            break;
        }
        value |= part << shift;
        if byte < 128 {
            return Ok(value);
        }
    }
    Err("a number is too long".to_owned())
}

/// The next bytes, of a fixed number.
pub fn array<const N: usize>(rest: &mut &[u8]) -> Step<[u8; N]> {
    take(rest, N)?.try_into().map_err(|_| "it is cut off".to_owned())
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Step<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(count).ok_or_else(|| "it is cut off".to_owned())?;
    *rest = after;
    Ok(taken)
}
