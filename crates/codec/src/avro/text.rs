//! Values of Avro as JSON, from which columns are read as from messages that are JSON.

use super::schema::{AvroSchema, Type, Unit};
use crate::json::put_text;
use dataflow::{Error, Result};
use std::io::Write;
use values::calendar;

/// The largest text of a message.
const TEXT_BYTES_MAX: usize = 64 << 20;
/// The largest text of a message of no bytes, and how much more each byte may give: names of fields, and items that take
/// no bytes, are text all the same, and few bytes shall not cost the time of many.
const TEXT_BYTES_BESIDE: usize = 1 << 20;
const TEXT_BYTES_OF_ONE: usize = 1 << 10;
/// How deep values may lie in each other; as deep as JSON may.
const DEPTH_MAX: usize = 100;
/// The most digits after the point of a decimal.
const SCALE_MAX: u32 = 38;

impl AvroSchema {
    /// A message as a JSON object: a field per field of the record, in its sequence.
    ///
    /// A union is the value of its branch, an enum its symbol. Instants, dates, times and decimals are texts that CAST reads,
    /// as are NaN and the infinities; bytes are text where they are UTF-8, else with `\xff` for what is no ASCII. An instant,
    /// a date, a time or a decimal that has no such text is one that no CAST reads: where no column wants it, the message
    /// is none the worse. An error of kind `Data` says what is wrong with the bytes, whatever they are: at most 1 MiB and
    /// 1,024 times their number come out as text, never more than 64 MiB, and no more memory is taken than that.
    pub fn to_json(&self, payload: &[u8]) -> Result<Vec<u8>> {
        let text_max = TEXT_BYTES_MAX.min(TEXT_BYTES_BESIDE + payload.len().saturating_mul(TEXT_BYTES_OF_ONE));
        let out = Vec::with_capacity(2 * payload.len().min(1 << 20));
        let mut reader = Reader { schema: self, rest: payload, out, text_max };
        let put = reader.put(self.root, 0);
        let whole = put.and_then(|()| match reader.rest.len() {
            0 => Ok(()),
            left => Err(format!("{left} bytes are left after it")),
        });
        let at = payload.len() - reader.rest.len();
        whole.map_err(|why| Error::data(format!("the message is not of its schema of Avro: {why}, at byte {at}")))?;
        Ok(reader.out)
    }
}

type Step<T = ()> = std::result::Result<T, String>;

struct Reader<'a> {
    schema: &'a AvroSchema,
    rest: &'a [u8],
    out: Vec<u8>,
    text_max: usize,
}

impl<'a> Reader<'a> {
    fn put(&mut self, of: usize, depth: usize) -> Step {
        if depth > DEPTH_MAX {
            return Err(format!("it is nested more than {DEPTH_MAX} deep"));
        }
        if self.out.len() > self.text_max {
            return Err(format!("it is more than {} bytes of text", self.text_max));
        }
        let schema = self.schema;
        match &schema.types[of] {
            Type::Pending => return Err("a type is not known".to_owned()),
            Type::Null => self.out.extend_from_slice(b"null"),
            Type::Boolean => match self.take(1)? {
                [0] => self.out.extend_from_slice(b"false"),
                [1] => self.out.extend_from_slice(b"true"),
                other => return Err(format!("{} is no boolean", other[0])),
            },
            Type::Int => {
                let value = self.int()?;
                self.put_display(value);
            }
            Type::Long => {
                let value = self.long()?;
                self.put_display(value);
            }
            Type::Float => {
                let value = f32::from_le_bytes(self.array()?);
                if value.is_finite() { self.put_number(value)? } else { self.put_special(value.into()) }
            }
            Type::Double => {
                let value = f64::from_le_bytes(self.array()?);
                if value.is_finite() { self.put_number(value)? } else { self.put_special(value) }
            }
            Type::Text => {
                let bytes = self.bytes()?;
                self.put_string(std::str::from_utf8(bytes).map_err(|_| "a text is no UTF-8".to_owned())?)?;
            }
            Type::Bytes => {
                let bytes = self.bytes()?;
                self.put_bytes(bytes)?;
            }
            Type::Fixed(size) => {
                let bytes = self.take(*size)?;
                self.put_bytes(bytes)?;
            }
            Type::Enum(symbols) => {
                let number = self.int()?;
                let symbol = usize::try_from(number).ok().and_then(|number| symbols.get(number));
                let symbol = symbol.ok_or_else(|| format!("{number} is no symbol of {}", symbols.len()))?;
                self.put_string(symbol)?;
            }
            Type::Union(branches) => {
                let number = self.long()?;
                let branch = usize::try_from(number).ok().and_then(|number| branches.get(number));
                let branch = branch.ok_or_else(|| format!("{number} is no branch of {}", branches.len()))?;
                self.put(*branch, depth + 1)?;
            }
            Type::Record(fields) => self.put_record(fields, depth)?,
            Type::Array(of) => self.put_items(*of, false, depth)?,
            Type::Map(of) => self.put_items(*of, true, depth)?,
            Type::Date | Type::Time(_) | Type::Instant(_) => self.put_time(of)?,
            Type::Decimal { scale, fixed } => {
                let bytes = match fixed {
                    Some(size) => self.take(*size)?,
                    None => self.bytes()?,
                };
                self.put_decimal(bytes, *scale);
            }
        }
        Ok(())
    }

    fn put_record(&mut self, fields: &[(String, usize)], depth: usize) -> Step {
        self.out.push(b'{');
        for (at, (name, of)) in fields.iter().enumerate() {
            if at > 0 {
                self.out.push(b',');
            }
            self.put_string(name)?;
            self.out.push(b':');
            self.put(*of, depth + 1)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// The items of an array, or the entries of a map.
    fn put_items(&mut self, of: usize, is_map: bool, depth: usize) -> Step {
        self.out.push(if is_map { b'{' } else { b'[' });
        let mut is_first = true;
        loop {
            let count = self.long()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                // The size of a block, by which others skip it.
                self.long()?;
            }
            // Each item puts something out, so that a count that is not true ends by the bytes or by the text's size.
            for _ in 0..count.unsigned_abs() {
                if !std::mem::take(&mut is_first) {
                    self.out.push(b',');
                }
                if is_map {
                    let name = self.bytes()?;
                    self.put_string(std::str::from_utf8(name).map_err(|_| "a key is no UTF-8".to_owned())?)?;
                    self.out.push(b':');
                }
                self.put(of, depth + 1)?;
            }
        }
        self.out.push(if is_map { b'}' } else { b']' });
        Ok(())
    }

    /// A text that CAST reads; of a value that has none, one that no CAST reads.
    fn put_time(&mut self, of: usize) -> Step {
        let schema = self.schema;
        self.out.push(b'"');
        match schema.types[of] {
            Type::Date => {
                let day = i64::from(self.int()?);
                match calendar::day(day) {
                    Some(day) => self.put_display(calendar::write_date(day.into())),
                    None => self.put_display(format_args!("day {day} is no date")),
                }
            }
            Type::Time(unit) => {
                let value = if unit == 1 { self.long()? } else { i64::from(self.int()?) };
                let micros = value.checked_mul(unit).filter(|micros| (0..calendar::DAY).contains(micros));
                match micros {
                    Some(micros) => self.put_display(calendar::write_time(micros)),
                    None => self.put_display(format_args!("{value} is no time of a day")),
                }
            }
            Type::Instant(unit) => {
                let value = self.long()?;
                let instant = match unit {
                    Unit::Millis => value.checked_mul(1000),
                    Unit::Micros => Some(value),
                    Unit::Nanos => Some(calendar::micros_of_nanos(value)),
                };
                match instant.and_then(calendar::timestamp) {
                    Some(instant) => calendar::put_instant(&mut self.out, instant),
                    None => self.put_display(format_args!("{value} is no instant")),
                }
            }
            _ => return Err("it is no time".to_owned()),
        }
        self.out.push(b'"');
        Ok(())
    }

    /// The same of a decimal: one that is too large is its bytes.
    fn put_decimal(&mut self, bytes: &[u8], scale: u32) {
        let fill = if bytes.first().is_some_and(|first| *first > 127) { 0xff } else { 0 };
        let bytes = without_fill(bytes, fill);
        if bytes.len() > 16 || scale > SCALE_MAX {
            self.out.extend_from_slice(b"\"bytes ");
            bytes.iter().for_each(|byte| self.out.extend(hexadecimal(*byte)));
            self.out.push(b'"');
            return;
        }
        let mut whole = [fill; 16];
        whole[16 - bytes.len()..].copy_from_slice(bytes);
        let unscaled = i128::from_be_bytes(whole);
        let (sign, digits) = (if unscaled < 0 { "-" } else { "" }, unscaled.unsigned_abs().to_string());
        let digits = format!("{digits:0>width$}", width = scale as usize + 1);
        let (integer, fraction) = digits.split_at(digits.len() - scale as usize);
        let point = if scale == 0 { "" } else { "." };
        self.put_display(format_args!("\"{sign}{integer}{point}{fraction}\""));
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> Step {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.put_string(text),
            Err(_) => {
                // An escape is four times as long as its byte at most, and the payload is bounded.
                let mut text = String::with_capacity(bytes.len());
                for byte in bytes {
                    if byte.is_ascii() {
                        text.push(char::from(*byte));
                    } else {
                        text.push_str("\\x");
                        text.extend(hexadecimal(*byte).map(char::from));
                    }
                }
                self.put_string(&text)
            }
        }
    }

    fn put_string(&mut self, text: &str) -> Step {
        put_text(&mut self.out, text).map_err(|error| error.to_string())
    }

    fn put_display(&mut self, value: impl std::fmt::Display) {
        // Memory takes everything.
        let _ = write!(self.out, "{value}");
    }

    fn put_number(&mut self, value: impl serde::Serialize) -> Step {
        serde_json::to_writer(&mut self.out, &value).map_err(|error| error.to_string())
    }

    fn put_special(&mut self, value: f64) {
        let word: &[u8] = match value {
            f64::INFINITY => b"\"Infinity\"",
            f64::NEG_INFINITY => b"\"-Infinity\"",
            _ => b"\"NaN\"",
        };
        self.out.extend_from_slice(word);
    }

    fn take(&mut self, count: usize) -> Step<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| "it is cut off".to_owned())?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| "it is cut off".to_owned())
    }

    fn bytes(&mut self) -> Step<&'a [u8]> {
        let size = self.long()?;
        self.take(usize::try_from(size).map_err(|_| format!("a length is {size}"))?)
    }

    fn int(&mut self) -> Step<i32> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| format!("{value} is no number of 32 bits"))
    }

    fn long(&mut self) -> Step<i64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            let part = u64::from(byte & 127);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte < 128 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err("a number is too long".to_owned())
    }
}

fn hexadecimal(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|digit| if digit < 10 { b'0' + digit } else { b'a' + digit - 10 })
}

/// The bytes of a number without those before it that say no more than its sign.
fn without_fill(mut bytes: &[u8], fill: u8) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && *first == fill
        && rest.first().is_some_and(|next| next & 128 == fill & 128)
    {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn schema(fields: &str) -> AvroSchema {
        AvroSchema::parse(format!(r#"{{"type":"record","name":"r","namespace":"n","fields":[{fields}]}}"#).as_bytes())
            .unwrap()
    }

    fn json(schema: &AvroSchema, payload: &[u8]) -> String {
        String::from_utf8(schema.to_json(payload).unwrap()).unwrap()
    }

    #[test]
    fn every_type_is_the_text_that_columns_read() {
        let one = |of: &str, payload: &[u8]| json(&schema(&format!(r#"{{"name":"f","type":{of}}}"#)), payload);
        for (of, payload, expected) in [
            (r#""null""#, &[][..], "null"),
            (r#""boolean""#, &[1], "true"),
            (r#""int""#, &[0x7f], "-64"),
            (r#""long""#, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], "-9223372036854775808"),
            (r#""float""#, &1.5f32.to_le_bytes(), "1.5"),
            (r#""double""#, &f64::NAN.to_le_bytes(), r#""NaN""#),
            (r#""double""#, &0.1f64.to_le_bytes(), "0.1"),
            (r#""string""#, b"\x06a\"b", r#""a\"b""#),
            (r#""bytes""#, b"\x04a\xff", r#""a\\xff""#),
            (r#"{"type":"fixed","name":"x","size":2}"#, b"ab", r#""ab""#),
            (r#"{"type":"enum","name":"e","symbols":["A","B"]}"#, &[2], r#""B""#),
            (r#"["null","long"]"#, &[0], "null"),
            (r#"["null","long"]"#, &[2, 6], "3"),
            (r#"{"type":"array","items":"int"}"#, &[4, 2, 4, 1, 2, 6, 0], "[1,2,3]"),
            (r#"{"type":"map","values":"int"}"#, b"\x02\x02k\x0a\x00", r#"{"k":5}"#),
            (r#"{"type":"int","logicalType":"date"}"#, &[2], r#""1970-01-02""#),
            (r#"{"type":"int","logicalType":"time-millis"}"#, &[2], r#""00:00:00.001""#),
            (r#"{"type":"long","logicalType":"timestamp-millis"}"#, &[3], r#""1969-12-31T23:59:59.998000Z""#),
            (r#"{"type":"long","logicalType":"timestamp-micros"}"#, &[2], r#""1970-01-01T00:00:00.000001Z""#),
            // As stored nanoseconds are, so that an archive has what came live.
            (r#"{"type":"long","logicalType":"timestamp-nanos"}"#, &[0xe7, 7], r#""1969-12-31T23:59:59.999999Z""#),
            (r#"{"type":"long","logicalType":"timestamp-nanos"}"#, &[0xe6, 7], r#""1970-01-01T00:00:00.000000Z""#),
            (r#"{"type":"long","logicalType":"timestamp-nanos"}"#, &[0xe8, 7], r#""1970-01-01T00:00:00.000001Z""#),
            (r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#, &[4, 0xff, 0x38], r#""-2.00""#),
            (r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#, &[2, 5], r#""0.05""#),
            (r#"{"type":"string","logicalType":"uuid"}"#, b"\x02a", r#""a""#),
        ] {
            assert_eq!(one(of, payload), format!("{{\"f\":{expected}}}"), "{of}");
        }
    }

    #[test]
    fn values_that_have_no_text_are_one_that_no_cast_reads() {
        let one = |of: &str, payload: &[u8]| json(&schema(&format!(r#"{{"name":"f","type":{of}}}"#)), payload);
        let greatest = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        let (wide, wide_fixed) = (
            r#"{"type":"bytes","logicalType":"decimal","precision":60,"scale":2}"#,
            r#"{"type":"fixed","name":"x","size":17,"logicalType":"decimal","precision":40,"scale":0}"#,
        );
        let long = |first: &[u8], value: u8| [&[34], first, &[value; 16][..]].concat();
        for (of, payload, expected) in [
            (r#"{"type":"long","logicalType":"timestamp-millis"}"#, &greatest[..], "9223372036854775807 is no instant"),
            (r#"{"type":"long","logicalType":"timestamp-micros"}"#, &greatest, "9223372036854775807 is no instant"),
            (r#"{"type":"int","logicalType":"date"}"#, &[0xfe, 0xff, 0xff, 0xff, 0xf], "day 2147483647 is no date"),
            (
                r#"{"type":"int","logicalType":"time-millis"}"#,
                &[0x80, 0xf0, 0xb2, 0x52],
                "86400000 is no time of a day",
            ),
            (wide, &long(&[1], 0x31), "bytes 0131313131313131313131313131313131"),
            (wide, &[38, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5], "0.05"),
            (wide, &long(&[0xff], 0xff), "-0.01"),
            (wide, &[0], "0.00"),
            (wide_fixed, &[0xff; 17], "-1"),
            (wide_fixed, &[0x31; 17], "bytes 3131313131313131313131313131313131"),
            (r#"{"type":"bytes","logicalType":"decimal","precision":60,"scale":39}"#, b"\x021", "bytes 31"),
        ] {
            assert_eq!(one(of, payload), format!("{{\"f\":\"{expected}\"}}"), "{of}");
        }
    }

    #[test]
    fn a_record_may_have_itself_and_names_of_its_namespace() {
        let list = schema(r#"{"name":"v","type":"int"},{"name":"next","type":["null","r"]}"#);
        assert_eq!(json(&list, &[2, 2, 4, 0]), r#"{"v":1,"next":{"v":2,"next":null}}"#);
        let deep: Vec<u8> = [2, 2].repeat(5000);
        assert!(list.to_json(&deep).unwrap_err().to_string().contains("nested more than 100 deep"));
        let twice = schema(
            r#"{"name":"a","type":{"type":"record","name":"p","fields":[{"name":"x","type":"int"}]}},{"name":"b","type":"n.p"}"#,
        );
        assert_eq!(json(&twice, &[2, 4]), r#"{"a":{"x":1},"b":{"x":2}}"#);
    }

    #[test]
    fn bytes_that_are_not_of_the_schema_are_named_and_take_no_memory() {
        let nothing = schema(r#"{"name":"f","type":{"type":"array","items":"null"}}"#);
        // A few bytes that ask for 2^62 items of no bytes.
        let endless = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        let error = nothing.to_json(&endless).unwrap_err().to_string();
        assert!(error.contains("more than 1057792 bytes of text"), "{error}");
        // Records in each other that take no bytes are twice as many with each.
        let mut records = r#""null""#.to_owned();
        for name in 0..30 {
            let (first, second) = (records, if name == 0 { "null".to_owned() } else { format!("n.r{}", name - 1) });
            let fields = format!(r#"[{{"name":"a","type":{first}}},{{"name":"b","type":"{second}"}}]"#);
            records = format!(r#"{{"type":"record","name":"r{name}","fields":{fields}}}"#);
        }
        let error = schema(&format!(r#"{{"name":"f","type":{records}}}"#)).to_json(&[]).unwrap_err().to_string();
        assert!(error.contains("more than 1048576 bytes of text"), "{error}");
        let text = schema(r#"{"name":"f","type":"string"}"#);
        for (payload, expected) in [
            (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f][..], "it is cut off"),
            (&[1], "a length is -1"),
            (&[], "it is cut off, at byte 0"),
            (&[2, 0xff], "a text is no UTF-8"),
            (&[0, 7], "1 bytes are left after it"),
            (&[0xff; 12], "a number is too long"),
        ] {
            let error = text.to_json(payload).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for (wrong, expected) in [
            (r#""string""#, "it is no record"),
            (r#"{"type":"record","name":"r","fields":[{"name":"a","type":"q"}]}"#, "type \"q\" is not known"),
            (r#"{"type":"record","name":"r"}"#, "a record has no \"fields\""),
            (r#"{"type":"record","name":"r","fields":[{"name":"a","type":3}]}"#, "3 is no type"),
            ("{", "EOF"),
        ] {
            let error = AvroSchema::parse(wrong.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_give_json_or_an_error(payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            let every = schema(
                r#"{"name":"a","type":["null","string",{"type":"map","values":["int","r"]}]},{"name":"b","type":
                {"type":"array","items":{"type":"bytes","logicalType":"decimal","precision":5,"scale":3}}},
                {"name":"c","type":{"type":"long","logicalType":"timestamp-micros"}},{"name":"d","type":["double","float"]}"#,
            );
            if let Ok(text) = every.to_json(&payload) {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&text).is_ok(), "{:?}", text);
            }
        }
    }
}
