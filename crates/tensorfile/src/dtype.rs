//! Element types of stored tensors, the block-quantised ones of GGUF included.

/// How the elements of a stored tensor are encoded.
///
/// Most types take a whole number of bytes for each element. The `Q…` types of GGUF store blocks of
/// [`Dtype::block_len`] elements in [`Dtype::block_bytes`] bytes; a tensor of such a type has a last axis that is a
/// multiple of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each name is the definition")]
pub enum Dtype {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    /// 8-bit float, 4 bits of exponent, no infinities (`float8_e4m3fn`).
    F8E4M3,
    /// 8-bit float, 5 bits of exponent (`float8_e5m2`).
    F8E5M2,
    /// 8 bits of exponent and nothing else (`float8_e8m0fnu`): powers of two, the scales of microscaling formats.
    F8E8M0,
    F16,
    BF16,
    F32,
    F64,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q8_1,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Q8K,
    /// 4-bit indices of a fixed table, one scale for 32.
    IQ4NL,
    /// The same table, scales of 6 bits for 32 and one for 256.
    IQ4XS,
}

impl Dtype {
    /// Elements in one block: 1 for plain types, 32 or 256 for quantised ones.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 | Self::Q8_1 | Self::IQ4NL => 32,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K | Self::Q8K | Self::IQ4XS => 256,
            _ => 1,
        }
    }

    /// Bytes of one block: the element's size for plain types.
    #[must_use]
    pub const fn block_bytes(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 | Self::F8E4M3 | Self::F8E5M2 | Self::F8E8M0 => 1,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
            Self::Q4_0 | Self::IQ4NL => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q8_1 => 36,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
            Self::Q8K => 292,
            Self::IQ4XS => 136,
        }
    }

    /// Is it one of the block-quantised types?
    #[must_use]
    pub const fn is_quantized(self) -> bool {
        self.block_len() > 1
    }

    /// Is it a whole-number type (`Bool` included)?
    #[must_use]
    pub const fn is_integer(self) -> bool {
        matches!(
            self,
            Self::Bool
                | Self::U8
                | Self::I8
                | Self::U16
                | Self::I16
                | Self::U32
                | Self::I32
                | Self::U64
                | Self::I64
        )
    }

    /// Bytes of `elements` elements; `None` on overflow or where they don't fill whole blocks.
    #[must_use]
    pub fn bytes_for(self, elements: usize) -> Option<usize> {
        if !elements.is_multiple_of(self.block_len()) {
            return None;
        }
        (elements / self.block_len()).checked_mul(self.block_bytes())
    }
}

impl std::fmt::Display for Dtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// The number of elements of a shape; `None` on overflow.
#[must_use]
pub fn element_count(shape: &[usize]) -> Option<usize> {
    // A zero anywhere makes it empty, however absurd the other extents are: they must still not overflow.
    shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d.max(1)))?;
    Some(shape.iter().product())
}
