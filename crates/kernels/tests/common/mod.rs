//! What the oracle tests share: random data, levels, comparison with sums in `f64`.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::sync::{Mutex, PoisonError};

use anicrafter_kernels::{Level, QuantKind, bf16, detected_level, set_level};

static LEVEL: Mutex<()> = Mutex::new(());

/// Runs `test` once at each level this CPU has, one test at a time.
pub fn at_each_level(mut test: impl FnMut(Level)) {
    let _guard = LEVEL.lock().unwrap_or_else(PoisonError::into_inner);
    for level in Level::ALL.into_iter().filter(|level| level.is_supported()) {
        set_level(level).expect("the level is supported");
        test(level);
    }
    set_level(detected_level()).expect("a detected level is supported");
}

/// Reproducible numbers (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Uniform in -1..1.
    pub fn f32(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn vec(&mut self, len: usize) -> Vec<f32> {
        (0..len).map(|_| self.f32()).collect()
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 56) as u8).collect()
    }
}

pub fn to_bf16(x: &[f32]) -> Vec<bf16> {
    x.iter().map(|x| bf16::from_f32(*x)).collect()
}

pub fn widened(x: &[bf16]) -> Vec<f32> {
    x.iter().map(|x| x.to_f32()).collect()
}

/// Fails where `|got − want| > tolerance`, naming the place.
pub fn assert_close(name: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{name}: lengths");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let error = (f64::from(*got) - want).abs();
        assert!(error <= tolerance, "{name}[{i}]: got {got}, want {want}, error {error:e} > {tolerance:e}");
    }
}

/// `x · wᵀ` in `f64`.
pub fn linear(x: &[f32], w: &[f32], m: usize, n: usize, k: usize) -> Vec<f64> {
    let mut out = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            let (x, w) = (&x[i * k..(i + 1) * k], &w[j * k..(j + 1) * k]);
            out[i * n + j] = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
        }
    }
    out
}

/// Every block format.
pub const KINDS: [QuantKind; 5] =
    [QuantKind::Q8_0, QuantKind::Q4_0, QuantKind::Q4K, QuantKind::Q5K, QuantKind::Q6K];

/// Random blocks whose f16 scales are of moderate size.
pub fn blocks(random: &mut Random, kind: QuantKind, n: usize) -> Vec<u8> {
    let mut bytes = random.bytes(n * kind.block_bytes());
    let scales: &[usize] = match kind {
        QuantKind::Q8_0 | QuantKind::Q4_0 => &[0],
        QuantKind::Q6K => &[208],
        _ => &[0, 2],
    };
    for block in bytes.chunks_mut(kind.block_bytes()) {
        for &at in scales {
            // 2^-8 to 2^-7.
            block[at + 1] = 0x1c + (block[at + 1] & 3);
        }
    }
    bytes
}
