//! Every operation of every level and width, lane by lane, against what it says in scalar Rust.

use anicrafter_simd::{Integers, Kernel, Level, Simd, dispatch, dispatch_lines, dispatch_wide, math};

/// Reproducible numbers, special ones among them.
struct Random(u64);

impl Random {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn number(&mut self) -> f32 {
        const SPECIAL: [f32; 8] = [0.0, -0.0, 1.0, -1.0, 0.5, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let pick = (self.bits() >> 60) as usize;
        let x = (self.bits() >> 40) as f32 / (1 << 21) as f32 - 4.0;
        SPECIAL.get(pick).copied().unwrap_or(x)
    }

    fn sixteen(&mut self) -> [f32; 16] {
        std::array::from_fn(|_| self.number())
    }
}

/// Bits, with all NaNs alike.
fn key(x: f32) -> u32 {
    if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }
}

struct Check<'a>(&'a str, [[f32; 16]; 3]);

impl<S: Simd> Kernel<S> for Check<'_> {
    fn run(self, s: S) {
        let Self(name, [a, b, c]) = self;
        let n = S::LANES;
        let (va, vb, vc) = (s.load(&a), s.load(&b), s.load(&c));
        let check = |what: &str, v: S::V, want: &dyn Fn(usize) -> f32| {
            let mut got = [0.0; 16];
            s.store(v, &mut got);
            for i in 0..n {
                let (got, want) = (got[i], want(i));
                assert_eq!(
                    key(got),
                    key(want),
                    "{name}, {what}, lane {i}: {got}, not {want}: {a:?} {b:?} {c:?}"
                );
            }
            assert!(got[n..].iter().all(|x| *x == 0.0), "{name}, {what}: wrote beyond the vector");
        };
        check("splat", s.splat(a[3]), &|_| a[3]);
        check("iota", s.iota(), &|i| i as f32);
        check("load_dup", s.load_dup(&a), &|i| a[i / 2]);
        let halves: [u16; 16] = a.map(|x| (x.to_bits() >> 16) as u16);
        check("load_bf16", s.load_bf16(&halves), &|i| f32::from_bits(u32::from(halves[i]) << 16));
        let pairs = a.map(f32::to_bits);
        let (even, odd) = s.split_pairs(&pairs);
        check("split_pairs", even, &|i| f32::from_bits(pairs[i] << 16));
        check("split_pairs", odd, &|i| f32::from_bits(pairs[i] & 0xffff_0000));
        check("add", s.add(va, vb), &|i| a[i] + b[i]);
        check("sub", s.sub(va, vb), &|i| a[i] - b[i]);
        check("mul", s.mul(va, vb), &|i| a[i] * b[i]);
        check("div", s.div(va, vb), &|i| a[i] / b[i]);
        check("max", s.max(va, vb), &|i| if a[i] > b[i] { a[i] } else { b[i] });
        check("min", s.min(va, vb), &|i| if a[i] < b[i] { a[i] } else { b[i] });
        let fused = {
            let mut out = [0.0; 16];
            let x = s.splat(1.0 + 2_f32.powi(-12));
            // The square's last bit is lost when it is rounded on its own.
            s.store(s.fma(x, x, s.splat(-1.0)), &mut out);
            out[0] > 2_f32.powi(-11)
        };
        let fma = |i: usize| if fused { a[i].mul_add(b[i], c[i]) } else { a[i] * b[i] + c[i] };
        check("fma", s.fma(va, vb, vc), &fma);
        check("copysign", s.copysign(va, vb), &|i| a[i].copysign(b[i]));
        check("negative", s.negative(va), &|i| -a[i].abs());
        check("shl23", s.shl23(va), &|i| f32::from_bits(a[i].to_bits() << 23));
        let n3 = s.splat(12_582_912.0 + 3.0);
        check("scale_by_power", s.scale_by_power(va, n3), &|i| {
            f32::from_bits(a[i].to_bits().wrapping_add(3 << 23))
        });
        check("swap_pairs", s.swap_pairs(va), &|i| a[i ^ 1]);
        check("addsub", s.addsub(va, vb), &|i| if i % 2 == 0 { a[i] - b[i] } else { a[i] + b[i] });
        let flags = |what: &str, bits: u32, want: &dyn Fn(usize) -> bool| {
            let want = (0..n).fold(0, |all, i| all | u32::from(want(i)) << i);
            assert_eq!(bits, want, "{name}, {what}: {a:?} {b:?} {c:?}");
        };
        let (ge, not_lt) = (s.ge(va, vb), s.not_lt(va, vc));
        flags("ge", s.bits(ge), &|i| a[i] >= b[i]);
        flags("not_lt", s.bits(not_lt), &|i| a[i] >= c[i] || a[i].is_nan() || c[i].is_nan());
        flags("and", s.bits(s.and(ge, not_lt)), &|i| {
            a[i] >= b[i] && (a[i] >= c[i] || a[i].is_nan() || c[i].is_nan())
        });
        flags("signs", s.signs(va), &|i| a[i].to_bits() >> 31 == 1);
        check("keep", s.keep(ge, vc), &|i| if a[i] >= b[i] { c[i] } else { 0.0 });
        check("select", s.select(ge, vb, vc), &|i| if a[i] >= b[i] { b[i] } else { c[i] });
        let finite = a.map(|x| if x.is_finite() { x } else { 0.25 });
        let sum: f64 = finite[..n].iter().map(|x| f64::from(*x)).sum();
        let got = s.sum(s.load(&finite));
        assert!((f64::from(got) - sum).abs() < 1e-5, "{name}, sum: {got}, not {sum}");
        let largest = finite[..n].iter().copied().fold(f32::NEG_INFINITY, f32::max);
        assert_eq!(s.max_lane(s.load(&finite)), largest, "{name}, max_lane");
        for i in 0..n {
            let mut out = [0.0; 16];
            s.store(math::exp(s, s.load(&finite)), &mut out);
            let want = f64::from(finite[i]).exp();
            assert!((f64::from(out[i]) / want - 1.0).abs() < 1e-6, "{name}, exp({}): {}", finite[i], out[i]);
        }
        for (low, shift) in [(0.0, 0.0), (-20.0, 3.0), (-120.0, 30.0), (-1e29, 0.0)] {
            let x = finite.map(|x| (low - (x.abs() + shift)).min(0.0));
            let mut out = [0.0; 16];
            s.store(s.exp2_rough(s.load(&x)), &mut out);
            for i in 0..n {
                let want = f64::from(x[i]).exp2();
                let error = (f64::from(out[i]) - want).abs();
                assert!(error <= 1.1e-4 * want + 2e-38, "{name}, exp2_rough({}): {}", x[i], out[i]);
            }
        }
    }
}

#[test]
fn operations_are_what_they_say_at_every_level_and_width() {
    let mut random = Random(17);
    for level in Level::supported() {
        for round in 0..200 {
            let numbers = [random.sixteen(), random.sixteen(), random.sixteen()];
            let name = format!("{level:?}, round {round}");
            dispatch(level, Check(&name, numbers));
            dispatch_wide(level, Check(&format!("{name}, wide"), numbers));
            dispatch_lines(level, Check(&format!("{name}, lines"), numbers));
        }
    }
}

/// The widths that a level's vectors have.
struct Lanes;

impl<S: Simd> Kernel<S, usize> for Lanes {
    fn run(self, _: S) -> usize {
        S::LANES
    }
}

#[test]
fn vectors_have_the_widths_that_were_asked_for() {
    for level in Level::supported() {
        assert!([4, 8, 16].contains(&dispatch(level, Lanes)));
        assert!([8, 16].contains(&dispatch_wide(level, Lanes)));
        assert_eq!(dispatch_lines(level, Lanes), 16);
    }
}

type Words = [[u32; 16]; 8];

/// Sums of 8 words of pairs and of fours.
struct Sums {
    pairs: [Words; 2],
    fours: [Words; 2],
    signed: [Words; 2],
}

impl<S: Integers> Kernel<S> for Sums {
    fn run(self, s: S) {
        let (mut pairs, mut fours) = (s.zero_sums(), s.zero_sums());
        let mut signed = s.splat_word(0);
        let (mut want_pairs, mut want_fours, mut want_signed) = ([0_i32; 16], [0_i32; 16], [0_i32; 16]);
        for word in 0..8 {
            let [a, b] = self.pairs.map(|words| words[word]);
            pairs = s.add_pairs(pairs, s.load_words(&a), s.load_words(&b));
            let [c, d] = self.fours.map(|words| words[word]);
            fours = s.add_fours(fours, s.load_words(&c), s.load_words(&d));
            let [e, f] = self.signed.map(|words| words[word]);
            let offset = e.map(|e| u32::from_le_bytes(e.to_le_bytes().map(|e| e.wrapping_add(S::OFFSET))));
            signed = s.add_signed_fours(signed, s.load_words(&offset), s.load_words(&f));
            for i in 0..S::LANES {
                let signed = |x: u32| x.to_le_bytes().map(|x| i32::from(x.cast_signed()));
                want_signed[i] += signed(e[i])
                    .into_iter()
                    .zip(signed(f[i]))
                    .map(|(e, f)| (e + i32::from(S::OFFSET)) * f)
                    .sum::<i32>();
                let halves = |x: u32| [x as u16, (x >> 16) as u16].map(|x| i32::from(x.cast_signed()));
                want_pairs[i] += halves(a[i]).iter().zip(halves(b[i])).map(|(a, b)| a * b).sum::<i32>();
                let products = c[i].to_le_bytes().into_iter().zip(d[i].to_le_bytes());
                want_fours[i] +=
                    products.map(|(c, d)| i32::from(c.cast_signed()) * i32::from(d)).sum::<i32>();
            }
        }
        let doubled = s.add_words(s.pair_sums(pairs), s.pair_sums(pairs));
        for (what, words, want) in [
            ("pairs", s.pair_sums(pairs), want_pairs),
            ("fours", s.four_sums(fours), want_fours),
            ("signed fours", signed, want_signed),
            ("words", doubled, want_pairs.map(|x| 2 * x)),
            ("splat_word", s.splat_word(7), [7; 16]),
        ] {
            let (mut got, mut stored) = ([0.0; 16], [7; 16]);
            s.store(s.to_f32(words), &mut got);
            s.store_words(words, &mut stored);
            assert!(stored[S::LANES..].iter().all(|x| *x == 7), "{what}: wrote beyond the vector");
            for i in 0..S::LANES {
                assert_eq!(stored[i].cast_signed(), want[i], "{what}, lane {i}");
                assert_eq!(got[i], want[i] as f32, "{what}, lane {i}");
            }
        }
    }
}

#[test]
fn sums_of_integers_are_exact_at_every_level() {
    let mut random = Random(5);
    let mut words = |word: fn(u64) -> u32| -> Words {
        std::array::from_fn(|_| std::array::from_fn(|_| word(random.bits() >> 8)))
    };
    // Factors of -127..=127 in 16 and in 8 bits, and of 0..=31.
    let pair = |x: u64| {
        let [a, b] = [x as u8, (x >> 8) as u8].map(|x| i16::from(x.cast_signed().max(-127)).cast_unsigned());
        u32::from(a) | u32::from(b) << 16
    };
    let signed = |x: u64| {
        u32::from_le_bytes((x as u32).to_le_bytes().map(|x| x.cast_signed().max(-127).cast_unsigned()))
    };
    let small = |x: u64| x as u32 & 0x1f1f_1f1f;
    for level in Level::supported() {
        for _ in 0..50 {
            let (pairs, fours) = ([words(pair), words(pair)], [words(signed), words(small)]);
            let signed = [words(signed), words(signed)];
            dispatch(level, Sums { pairs, fours, signed });
        }
    }
}
