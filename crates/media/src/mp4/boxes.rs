//! ISO base media boxes: bounded reading of a payload in memory, and building boxes to write.
//!
//! Layouts follow ISO/IEC 14496-12.

/// Reads big-endian numbers from a payload; every read is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.bytes.split_at_checked(n)?;
        self.bytes = tail;
        Some(head)
    }

    pub(crate) fn skip(&mut self, n: usize) -> Option<()> {
        self.take(n).map(|_| ())
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = tail;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[x]| x)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Option<i32> {
        self.array().map(i32::from_be_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(crate) fn four_cc(&mut self) -> Option<FourCc> {
        self.array().map(FourCc)
    }

    /// Version and flags of a "full box".
    pub(crate) fn full(&mut self) -> Option<(u8, u32)> {
        let word = self.u32()?;
        Some(((word >> 24) as u8, word & 0x00ff_ffff))
    }

    /// The next child box: its type and payload. None at the end or where a size makes no sense.
    pub(crate) fn child(&mut self) -> Option<(FourCc, Reader<'a>)> {
        let all = *self;
        let size = self.u32()?;
        let kind = self.four_cc()?;
        let (header, size) = match size {
            0 => (8, all.remaining()),
            1 => (16, usize::try_from(self.u64()?).ok()?),
            n => (8, n as usize),
        };
        let mut whole = all;
        let mut payload = Reader::new(whole.take(size)?);
        payload.skip(header)?;
        *self = whole;
        Some((kind, payload))
    }

    /// The first child of this type.
    pub(crate) fn find(mut self, kind: &[u8; 4]) -> Option<Reader<'a>> {
        while let Some((found, payload)) = self.child() {
            if found.0 == *kind {
                return Some(payload);
            }
        }
        None
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }
}

/// A four-character code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct FourCc(pub(crate) [u8; 4]);

impl std::fmt::Display for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.escape_ascii().fmt(f)
    }
}

impl std::fmt::Debug for FourCc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "'{self}'")
    }
}

/// One box, built from its payload.
pub(crate) fn boxed(kind: &[u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 8);
    out.extend_from_slice(&(payload.len() as u32 + 8).to_be_bytes());
    out.extend_from_slice(kind);
    out.extend_from_slice(payload);
    out
}

/// One full box: version, flags and payload.
pub(crate) fn full_box(kind: &[u8; 4], version: u8, flags: u32, payload: &[u8]) -> Vec<u8> {
    let mut body = ((u32::from(version) << 24) | flags).to_be_bytes().to_vec();
    body.extend_from_slice(payload);
    boxed(kind, &body)
}

/// One box around several others.
pub(crate) fn container(kind: &[u8; 4], children: &[Vec<u8>]) -> Vec<u8> {
    boxed(kind, &children.concat())
}

/// 32-bit numbers, big-endian.
pub(crate) fn words(values: impl IntoIterator<Item = u32>) -> Vec<u8> {
    values.into_iter().flat_map(u32::to_be_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_come_back() {
        let inner = full_box(b"test", 1, 2, &words([3]));
        let outer = container(b"outr", &[boxed(b"skip", &[9; 5]), inner]);
        let mut reader = Reader::new(&outer);
        let (kind, payload) = reader.child().unwrap();
        assert_eq!(kind, FourCc(*b"outr"));
        let mut test = payload.find(b"test").unwrap();
        assert_eq!(test.full(), Some((1, 2)));
        assert_eq!(test.u32(), Some(3));
        assert_eq!(test.u8(), None);
        assert!(reader.child().is_none());
    }

    #[test]
    fn sizes_that_lie_end_the_list() {
        assert!(Reader::new(&[0, 0, 0, 7, b'a', b'b', b'c', b'd']).child().is_none());
        assert!(Reader::new(&[0, 0, 0, 9, b'a', b'b', b'c', b'd']).child().is_none());
        let huge = [0, 0, 0, 1, b'a', b'b', b'c', b'd', 255, 255, 255, 255, 255, 255, 255, 255];
        assert!(Reader::new(&huge).child().is_none());
        let (_, to_the_end) = Reader::new(&[0, 0, 0, 0, b'a', b'b', b'c', b'd', 1, 2]).child().unwrap();
        assert_eq!(to_the_end.rest(), [1, 2]);
    }
}
