//! Bytes that gzip has packed.

use flate2::bufread::GzDecoder;
use std::io::{self, BufRead, Read};

/// The members of a gzip file one after the other. Zeros between and after them are passed, as gzip does: what stores
/// files in blocks fills the last one.
pub(super) struct GzipRead<R> {
    // Nothing at the end.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> GzipRead<R> {
    pub fn new(bytes: R) -> GzipRead<R> {
        GzipRead { member: Some(GzDecoder::new(bytes)) }
    }
}

impl<R: BufRead> Read for GzipRead<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(member) = &mut self.member else { return Ok(0) };
            let count = member.read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            let has_more = pass_zeros(member.get_mut())?;
            let ended = self.member.take().filter(|_| has_more);
            self.member = ended.map(|member| GzDecoder::new(member.into_inner()));
        }
    }
}

/// Whether something follows the zeros.
fn pass_zeros(bytes: &mut dyn BufRead) -> io::Result<bool> {
    loop {
        let some = match bytes.fill_buf() {
            Ok(some) => some,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let zeros = some.iter().take_while(|byte| **byte == 0).count();
        let (is_end, has_more) = (some.is_empty(), zeros < some.len());
        bytes.consume(zeros);
        if is_end || has_more {
            return Ok(has_more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn packed(text: &str) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap()
    }

    fn read(bytes: Vec<u8>) -> io::Result<String> {
        let mut text = String::new();
        GzipRead::new(io::BufReader::with_capacity(7, io::Cursor::new(bytes))).read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn members_and_zeros_between_them_are_read_and_other_bytes_are_not() {
        let (one, two, zeros) = (packed("one\n"), packed("two\n"), vec![0; 1000]);
        for parts in [[&one, &two, &zeros], [&one, &zeros, &two], [&one, &two, &Vec::new()]] {
            assert_eq!(read(parts.map(Vec::as_slice).concat()).unwrap(), "one\ntwo\n");
        }
        assert!(read([&one[..], b"no gzip"].concat()).is_err());
        assert!(read(one[..one.len() - 3].to_vec()).is_err());
        assert!(read(Vec::new()).is_err());
    }
}
